package settings_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/cmd/internal/settings"
	"github.com/tenonhq/tenon/schema"
)

const canary = "canary-77e0"

func load(t testing.TB, env map[string]string, args ...string) (settings.Settings, error) {
	t.Helper()
	flags := pflag.NewFlagSet("tenon", pflag.ContinueOnError)
	settings.Register(flags)
	require.NoError(t, flags.Parse(args))
	return settings.Load(flags, func(name string) (string, bool) { v, ok := env[name]; return v, ok })
}

func file(t testing.TB, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	require.NoError(t, os.Chmod(path, mode))
	return path
}

func TestDefaults(t *testing.T) {
	s, err := load(t, nil)
	require.NoError(t, err)
	data, err := filepath.Abs("data")
	require.NoError(t, err)
	assert.Equal(t, data, s.Data)
	assert.Equal(t, "127.0.0.1:8080", s.API)
	assert.Equal(t, "127.0.0.1:8233", s.UI)
	assert.Equal(t, "text", s.LogFormat)
	assert.Equal(t, filepath.Join(data, "keys", "root.key"), s.RootKey)
	assert.Equal(t, filepath.Join(data, "keys", "api.key"), s.APIKey)
	assert.True(t, s.Postgres.IsZero())
}

func TestPrecedence(t *testing.T) {
	config := file(t, "log-level: error\nlog-format: json\nplaintext-credentials: false\n", 0o644)
	env := map[string]string{"TENON_CONFIG": config, "TENON_LOG_LEVEL": "warn"}
	s, err := load(t, env, "--log-level=debug")
	require.NoError(t, err)
	assert.Equal(t, "debug", s.LogLevel, "a flag comes first")
	s, err = load(t, env)
	require.NoError(t, err)
	assert.Equal(t, "warn", s.LogLevel, "then the environment")
	assert.Equal(t, "json", s.LogFormat, "then the file")
	assert.Equal(t, "127.0.0.1:8080", s.API, "then the default")
	assert.False(t, s.PlaintextCredentials)
	other := file(t, "log-format: text\n", 0o644)
	s, err = load(t, env, "--config="+other)
	require.NoError(t, err)
	assert.Equal(t, "text", s.LogFormat)
}

func TestBadValuesAreRefusedByName(t *testing.T) {
	key := file(t, "x", 0o600)
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(key, link))
	for _, c := range []struct {
		args []string
		says []string
	}{
		{[]string{"--log-format=xml"}, []string{"log-format", "text, json"}},
		{[]string{"--log-level=loud"}, []string{"log-level", "debug"}},
		{[]string{"--log-level="}, []string{"log-level", "empty"}},
		{[]string{"--data="}, []string{"data"}},
		{[]string{"--api-address=8080"}, []string{"api-address", "host:port"}},
		{[]string{"--api-address=127.0.0.1:99999"}, []string{"api-address"}},
		{[]string{"--api-address=0.0.0.0:8080"}, []string{"api-address", "loopback"}},
		{[]string{"--api-address=:8080"}, []string{"api-address", "loopback"}},
		{[]string{"--api-address=127.0.0.1.example.com:8080"}, []string{"api-address"}},
		{[]string{"--ui-address=0.0.0.0:8233"}, []string{"ui-address", "loopback"}},
		{[]string{"--engine-address=10.0.0.1:7233"}, []string{"engine-address", "loopback"}},
		{[]string{"--ui-address=0.0.0.0:8233", "--engine-ca=c"}, []string{"ui-address", "loopback"}},
		{[]string{"--engine-address=engine:7233"}, []string{"engine-address", "loopback", "engine-ca"}},
		{[]string{"--engine-address=0.0.0.0:7233", "--engine-tls-cert=a", "--engine-tls-key=b"}, []string{"engine-ca"}},
		{[]string{"--engine-address=7233"}, []string{"engine-address", "host:port"}},
		{[]string{"--engine-tls-cert=a", "--engine-ca=c"}, []string{"engine-tls-cert", "engine-tls-key"}},
		{[]string{"--engine-tls-key=a", "--engine-ca=c"}, []string{"engine-tls-cert", "engine-tls-key"}},
		{[]string{"--api-url=http://api:8080"}, []string{"api-url", "https"}},
		{[]string{"--api-url=https://u:p@api"}, []string{"api-url"}},
		{[]string{"--api-url=https://api/v1"}, []string{"api-url"}},
		{[]string{"--api-url=api:8443"}, []string{"api-url"}},
		{[]string{"--ui-url=http://ui.example"}, []string{"ui-url", "https"}},
		{[]string{"--tls-cert=a"}, []string{"tls-cert", "tls-key"}},
		{[]string{"--plaintext-credentials=maybe"}, []string{"plaintext-credentials", "true, false"}},
		{[]string{"--cell-idle=10ms"}, []string{"cell-idle", "1s to 24h"}},
		{[]string{"--root-key=" + key, "--api-key=" + key}, []string{"root-key", "api-key", "different"}},
		{[]string{"--root-key=" + key, "--api-key=" + link}, []string{"root-key", "api-key", "different"}},
		{[]string{"--config=/does/not/exist"}, []string{"config"}},
		{[]string{"--config=" + file(t, "colour: red", 0o600)}, []string{"colour", "no setting"}},
		{[]string{"--config=" + file(t, "data: ["+canary, 0o600)}, []string{"YAML"}},
		{[]string{"--config=" + file(t, "data: {a: "+canary+"}", 0o600)}, []string{"YAML"}},
		{[]string{"--config=" + file(t, strings.Repeat("# x\n", 40000), 0o600)}, []string{"config", "bytes"}},
	} {
		_, err := load(t, nil, c.args...)
		require.Error(t, err, "%v", c.args)
		assert.Equal(t, schema.CodeInvalid, schema.CodeOf(err))
		for _, word := range c.says {
			assert.Contains(t, err.Error(), word)
		}
		var e *schema.Error
		require.ErrorAs(t, err, &e)
		if e.Err != nil {
			assert.NotContains(t, e.Err.Error(), canary)
		}
	}
	_, err := load(t, nil, "--api-address=0.0.0.0:8443", "--tls-cert=a", "--tls-key=b")
	require.NoError(t, err, "with a certificate the API listens everywhere")
}

// Beyond loopback there is TLS only, for who listens and for who connects.
func TestBeyondThisMachine(t *testing.T) {
	s, err := load(t, nil, "--engine-address=engine:7233", "--engine-ca=ca.pem", "--ui-url=https://localhost:8233")
	require.NoError(t, err, "with an authority the engine is reached anywhere")
	assert.Equal(t, "ca.pem", s.EngineCA)
	assert.Equal(t, "https://localhost:8233", s.UIURL)
	s, err = load(t, nil, "--engine-address=0.0.0.0:7233", "--engine-ca=ca.pem", "--engine-tls-cert=a", "--engine-tls-key=b",
		"--ui-address=0.0.0.0:8233", "--api-url=https://api:8443", "--api-ca=ca.pem")
	require.NoError(t, err, "with a certificate the engine listens everywhere")
	assert.Equal(t, "https://api:8443", s.APIURL)
	assert.Equal(t, "https://0.0.0.0:8233", s.UIURL)
	s, err = load(t, nil)
	require.NoError(t, err)
	assert.Equal(t, "http://127.0.0.1:8080", s.APIURL)
	assert.Equal(t, "http://127.0.0.1:8233", s.UIURL)
}

func TestSecretsComeFromEnvironmentAndFiles(t *testing.T) {
	const url = "postgres://tenon:" + canary + "@localhost/tenon"
	secret := file(t, url+"\n", 0o600)
	for name, c := range map[string]struct {
		env  map[string]string
		args []string
	}{
		"environment":                {env: map[string]string{"TENON_POSTGRES_URL": url}},
		"file scheme":                {env: map[string]string{"TENON_POSTGRES_URL": "file:" + secret}},
		"file named in environment":  {env: map[string]string{"TENON_POSTGRES_URL_FILE": secret}},
		"file named by flag":         {args: []string{"--postgres-url-file=" + secret}},
		"in the file of settings":    {args: []string{"--config=" + file(t, "postgres-url: "+url, 0o600)}},
		"by name in the file":        {args: []string{"--config=" + file(t, "postgres-url-file: "+secret, 0o644)}},
		"by scheme in the file":      {args: []string{"--config=" + file(t, "postgres-url: file:"+secret, 0o644)}},
		"flag before the other ways": {env: map[string]string{"TENON_POSTGRES_URL": "postgres://localhost/x"}, args: []string{"--postgres-url-file=" + secret}},
	} {
		s, err := load(t, c.env, c.args...)
		require.NoError(t, err, name)
		assert.Equal(t, url, string(s.Postgres.Reveal()), name)
	}
	for name, c := range map[string]struct {
		env  map[string]string
		args []string
	}{
		"as an argument":         {args: []string{"--postgres-url=" + url}},
		"twice":                  {env: map[string]string{"TENON_POSTGRES_URL": url, "TENON_POSTGRES_URL_FILE": secret}},
		"file open to others":    {args: []string{"--postgres-url-file=" + file(t, url, 0o644)}},
		"settings open":          {args: []string{"--config=" + file(t, "postgres-url: "+url, 0o644)}},
		"no such file":           {env: map[string]string{"TENON_POSTGRES_URL": "file:/does/not/exist"}},
		"empty file":             {env: map[string]string{"TENON_POSTGRES_URL_FILE": file(t, "\n", 0o600)}},
		"another database":       {env: map[string]string{"TENON_POSTGRES_URL": "mysql://" + canary + "@localhost/x"}},
		"no URL":                 {env: map[string]string{"TENON_POSTGRES_URL": "postgres://%zz" + canary}},
		"the driver's own place": {env: map[string]string{"TENON_POSTGRES_URL": url, "PGHOSTADDR": "10.0.0.7"}},
	} {
		_, err := load(t, c.env, c.args...)
		require.Error(t, err, name)
		assert.Contains(t, err.Error(), "postgres-url", name)
		var e *schema.Error
		require.ErrorAs(t, err, &e)
		assert.NotContains(t, e.Error()+e.Hint, canary)
		if e.Err != nil {
			assert.NotContains(t, e.Err.Error(), canary)
		}
	}
}

// Beyond this machine a database is reached by verified TLS only.
func TestPostgresBeyondThisMachine(t *testing.T) {
	for url, good := range map[string]bool{
		"postgres://u@localhost/x": true, "postgres://u@127.0.0.1:5433/x": true, "postgres://u@[::1]/x": true,
		"postgres://u@/x?host=/run/postgresql": true, "postgresql://u@db.example/x?sslmode=verify-full": true,
		"postgres://u@db.example/x": false, "postgres://u@db.example/x?sslmode=require": false, "postgres://u@db.example/x?sslmode=verify-ca": false,
		"postgres://u@10.0.0.7/x": false, "postgres://u@/x": false, "postgres://u@localhost.example/x": false,
		"postgres://u@localhost/x?host=db.example":                      false,
		"postgres://u@localhost/x?hostaddr=10.0.0.7":                    false,
		"postgres://u@localhost/x?HOSTADDR=10.0.0.7":                    false,
		"postgres://u@localhost/x?service=other":                        false,
		"postgres://u@localhost,db.example/x":                           false,
		"postgres://u@/x?host=/run/postgresql,db.example":               false,
		"postgres://u@db.example/x?sslmode=verify-full&sslmode=disable": false,
		"postgres://u@db.example/x?sslmode=verify-full&SSLMODE=disable": false,
		"postgres:opaque": false,
	} {
		_, err := load(t, map[string]string{"TENON_POSTGRES_URL": url})
		assert.Equal(t, good, err == nil, "%s: %v", url, err)
	}
}

var update = flag.Bool("update", false, "write docs/configuration.md anew")

const (
	begin = "<!-- settings: generated, do not edit -->\n"
	end   = "<!-- /settings -->\n"
)

// The documentation has the table that the program has.
func TestDocumentation(t *testing.T) {
	path := filepath.Join("..", "..", "..", "docs", "configuration.md")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(text), begin)
	require.True(t, ok, "the table's beginning is marked")
	table, after, ok := strings.Cut(rest, end)
	require.True(t, ok, "the table's end is marked")
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(before+begin+settings.Markdown()+end+after), 0o600))
		return
	}
	assert.Equal(t, settings.Markdown(), table, "run: go test ./cmd/internal/settings -update")
}

// FuzzLoad: no value panics, and no secret comes back in an error.
func FuzzLoad(f *testing.F) {
	f.Add("127.0.0.1:1", "postgres://localhost/x")
	f.Add("[::1]:0", "file:/")
	f.Fuzz(func(t *testing.T, address, url string) {
		s, err := load(t, map[string]string{"TENON_API_ADDRESS": address, "TENON_POSTGRES_URL": url})
		if err != nil {
			require.Equal(t, schema.CodeInvalid, schema.CodeOf(err))
			return
		}
		require.Equal(t, url == "", s.Postgres.IsZero())
	})
}
