package compose

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"encoding/json"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/lib/pq"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema/store/storetest"
)

const patience = 60 * time.Second

// stage is the services of the file as processes of this machine: the same
// settings and files, other addresses and directories.
type stage struct {
	dir, bin string
	project  *types.Project
	replace  *strings.Replacer
	env      map[string][]string
	client   *http.Client
}

// program is a built binary.
func program(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(root(t), "bin", name)
	_, err := os.Stat(path)
	require.NoError(t, err, "the binaries are not built: run `make test`, or `make build` first")
	return path
}

// freePort finds a port that nobody listens on, low enough for PostgreSQL's
// smallint column in the engine's membership table.
func freePort(t *testing.T) string {
	t.Helper()
	for range 100 {
		port := strconv.Itoa(10000 + rand.IntN(10000))
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
		if err == nil {
			require.NoError(t, l.Close())
			return port
		}
	}
	t.Fatal("no free port was found")
	return ""
}

// setup builds and runs the program of the one-shot services.
func (s *stage) setup(t *testing.T, env []string, args ...string) {
	t.Helper()
	path := filepath.Join(s.dir, "tenon-setup")
	if _, err := os.Stat(path); err != nil {
		build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "./deploy/setup")
		build.Dir = root(t)
		out, err := build.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// database makes the cluster what the container of the file is: TLS with the
// certificate that was made, and the roles of deploy/postgres/roles.sql.
func (s *stage) database(t *testing.T, c *storetest.Cluster) {
	t.Helper()
	private := filepath.Join(s.dir, "out", "postgres")
	own := filepath.Join(c.Directory, "tls")
	require.NoError(t, os.MkdirAll(own, 0o700))
	info, err := os.Stat(c.Directory)
	require.NoError(t, err)
	owner, ok := info.Sys().(*syscall.Stat_t)
	require.True(t, ok)
	require.NoError(t, os.Chown(own, int(owner.Uid), int(owner.Gid)))
	for _, name := range []string{"tls.pem", "tls.key"} {
		text, err := os.ReadFile(filepath.Join(private, name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(own, name), text, 0o600))
		require.NoError(t, os.Chown(filepath.Join(own, name), int(owner.Uid), int(owner.Gid)))
	}
	passwords := func(line string) string {
		return regexp.MustCompile(`:'([a-z]+)_password'`).ReplaceAllStringFunc(line, func(name string) string {
			text, err := os.ReadFile(filepath.Join(private, strings.TrimSuffix(name[2:], "_password'")+".password"))
			require.NoError(t, err)
			return pq.QuoteLiteral(string(text))
		})
	}
	text, err := os.ReadFile(filepath.Join(root(t), "deploy", "postgres", "roles.sql"))
	require.NoError(t, err)
	db := connect(t, c.URL("postgres"))
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch to, found := strings.CutPrefix(line, `\connect `); {
		case found:
			db = connect(t, c.URL(to))
		case strings.HasPrefix(line, "--") || strings.HasPrefix(line, `\set`) || line == "":
		default:
			_, err := db.ExecContext(t.Context(), passwords(line))
			require.NoError(t, err, line)
		}
	}
	for _, set := range []string{
		"ALTER SYSTEM SET ssl_cert_file = " + pq.QuoteLiteral(filepath.Join(own, "tls.pem")),
		"ALTER SYSTEM SET ssl_key_file = " + pq.QuoteLiteral(filepath.Join(own, "tls.key")),
		"ALTER SYSTEM SET ssl = on",
		"SELECT pg_reload_conf()",
	} {
		_, err := db.ExecContext(t.Context(), set)
		require.NoError(t, err, set)
	}
}

func connect(t *testing.T, address string) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// newStage does what the one-shot services do, and prepares the settings of the others.
func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{dir: t.TempDir(), bin: program(t, "tenon"), project: project(t), env: map[string][]string{}}
	cluster := storetest.Postgres(t)
	out, ca := filepath.Join(s.dir, "out"), filepath.Join(s.dir, "out", "public", "ca.pem")
	database := "localhost:" + strconv.Itoa(cluster.Port)
	redis := freePort(t)
	certificates := []string{
		"certificates", "--out", out, "--database", database, "--trusted", ca, "--api-names", "localhost",
		"--redis", "localhost:" + redis, "--redis-private", filepath.Join(out, "redis"),
	}
	s.setup(t, nil, certificates...)
	s.client = trusting(t, ca)
	s.database(t, cluster)
	api, engine, ui := freePort(t), freePort(t), freePort(t)
	for name, service := range s.project.Services {
		data, mounts := s.mount(t, name)
		there := strings.NewReplacer(append(mounts,
			"0.0.0.0:7233", "127.0.0.1:"+engine, "engine:7233", "localhost:"+engine, "localhost:7233", "localhost:"+engine,
			"0.0.0.0:8233", "127.0.0.1:"+ui, "localhost:8233", "localhost:"+ui,
			"0.0.0.0:8443", "127.0.0.1:"+api, "api:8443", "localhost:"+api, "localhost:8443", "localhost:"+api)...)
		s.env[name] = []string{"TENON_DATA=" + data, "PATH=" + os.Getenv("PATH"), "HOME=" + s.dir}
		for _, variable := range slices.Sorted(maps.Keys(service.Environment)) {
			s.env[name] = append(s.env[name], variable+"="+there.Replace(*service.Environment[variable]))
		}
	}
	s.replace = strings.NewReplacer("localhost:7233", "localhost:"+engine)
	for range 2 { // The one-shot services run at each start.
		s.setup(t, nil, certificates...)
		s.keys(t)
	}
	return s
}

// mount gives a service a data directory with the directories of its volumes, which
// are those that "certificates" fills, and returns what is where instead.
func (s *stage) mount(t *testing.T, name string) (data string, mounts []string) {
	t.Helper()
	data = filepath.Join(s.dir, name)
	require.NoError(t, os.MkdirAll(data, 0o700))
	volumes := map[string]string{}
	for _, v := range s.project.Services["certificates"].Volumes {
		volumes[v.Source] = filepath.Join(s.dir, v.Target)
	}
	for _, v := range s.project.Services[name].Volumes {
		dir, ours := volumes[v.Source]
		if !ours {
			continue
		}
		mounts = append(mounts, v.Target, dir)
		if v.Target == "/data" {
			data = dir
		} else if link, inside := strings.CutPrefix(v.Target, "/data/"); inside {
			require.NoError(t, os.Symlink(dir, filepath.Join(data, link)))
		}
	}
	return data, mounts
}

// keys is the one-shot service "init".
func (s *stage) keys(t *testing.T) {
	t.Helper()
	s.setup(t, s.env["init"], "keys", "--out", filepath.Join(s.dir, "out"), "--data", s.value("init", "TENON_DATA"), "--tenon", s.bin)
}

// start runs a service's process until the test ends, or until stop.
func (s *stage) start(t *testing.T, name string) (stop func()) {
	t.Helper()
	cmd := exec.Command(s.bin, s.project.Services[name].Command...) // Our own; a signal ends it.
	cmd.Env = s.env[name]
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait()
	}()
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(15 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
		}
	})
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("%s:\n%s", name, log.String())
		}
	})
	s.healthy(t, name)
	return stop
}

// healthy runs the service's own health check until it is content.
func (s *stage) healthy(t *testing.T, name string) {
	t.Helper()
	test := s.project.Services[name].HealthCheck.Test
	require.Equal(t, []string{"CMD", "/usr/local/bin/tenon"}, []string(test[:2]))
	var args []string
	for _, a := range test[2:] {
		args = append(args, s.replace.Replace(a))
	}
	require.EventuallyWithT(t, func(c *assert.CollectT) {
		cmd := exec.CommandContext(t.Context(), s.bin, args...)
		cmd.Env = s.env[name]
		out, err := cmd.CombinedOutput()
		assert.NoError(c, err, "%s: %s", name, out)
	}, patience, 200*time.Millisecond)
}

func (s *stage) value(service, variable string) string {
	for _, pair := range s.env[service] {
		if v, ok := strings.CutPrefix(pair, variable+"="); ok {
			return v
		}
	}
	return ""
}

// trusting is a client that trusts the private authority only.
func trusting(t *testing.T, ca string) *http.Client {
	t.Helper()
	pem, err := os.ReadFile(ca)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	require.True(t, pool.AppendCertsFromPEM(pem))
	return &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
}

func call(ctx context.Context, t assert.TestingT, client *http.Client, method, address, key, body string) (int, map[string]any) {
	req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(body))
	if !assert.NoError(t, err) { //nolint:testifylint // Asked again until it holds.
		return 0, nil
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(req)
	if !assert.NoError(t, err) { //nolint:testifylint // Asked again until it holds.
		return 0, nil
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	assert.NoError(t, err) //nolint:testifylint // Asked again until it holds.
	var out map[string]any
	_ = json.Unmarshal(text, &out)
	return resp.StatusCode, out
}

// The settings of the file work: every link is TLS, verified; the roles of the
// database and the keys of each process suffice; a cell is made, wakes and runs a flow,
// and goes on when its keys are wrapped to other pairs.
func TestTheServicesWorkTogether(t *testing.T) {
	s := newStage(t)
	s.redis(t)
	stop := map[string]func(){}
	for _, name := range []string{"engine", "api", "host"} {
		stop[name] = s.start(t, name)
	}
	joinery := s.organization(t, "Joinery")
	s.order(t, joinery)
	s.bell(t)
	s.nobodyElse(t)
	s.replaced(t, joinery, stop)
}

// nobodyElse: no listener speaks in clear, and no role enters another's database.
func (s *stage) nobodyElse(t *testing.T) {
	t.Helper()
	for service, variable := range map[string]string{"api": "TENON_API_ADDRESS", "engine": "TENON_UI_ADDRESS"} {
		resp, err := http.Get("http://" + s.value(service, variable) + "/v1/ready")
		if err == nil {
			assert.Equal(t, http.StatusBadRequest, resp.StatusCode, "%s in clear", variable)
			require.NoError(t, resp.Body.Close())
		}
	}
	var databases []string
	rows, err := connect(t, storetest.Postgres(t).URL("postgres")).QueryContext(t.Context(), "SELECT datname FROM pg_database WHERE datallowconn")
	require.NoError(t, err)
	defer func() { require.NoError(t, rows.Close()) }()
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		databases = append(databases, name)
	}
	require.NoError(t, rows.Err())
	// What each service's role may enter: its own and nothing of the cells.
	for service, own := range map[string]*regexp.Regexp{
		"engine": regexp.MustCompile(`^postgres$|temporal$|visibility$`), "api": regexp.MustCompile(`^tenon$`),
	} {
		text, err := os.ReadFile(s.value(service, "TENON_POSTGRES_URL_FILE"))
		require.NoError(t, err)
		u, err := url.Parse(string(text))
		require.NoError(t, err)
		entered := 0
		for _, name := range databases {
			u.Path = "/" + name
			err := connect(t, u.String()).PingContext(t.Context())
			if own.MatchString(name) {
				require.NoError(t, err, "%s does not enter %s", service, name)
				entered++
				continue
			}
			var refused *pq.Error
			require.ErrorAs(t, err, &refused, "%s enters %s", service, name)
			assert.Equal(t, "42501", string(refused.Code), "%s enters %s", service, name)
		}
		if service == "api" {
			u.Path = "/tenon"
			appendOnly(t, u.String())
		}
		assert.Less(t, entered, len(databases)-1, "there are databases to be kept out of: %v", databases)
	}
}

// appendOnly: the API, whose database the control one is, may add to its log, and
// change nothing in it.
func appendOnly(t *testing.T, address string) {
	t.Helper()
	control := connect(t, address)
	var entries int
	require.NoError(t, control.QueryRowContext(t.Context(), "SELECT count(*) FROM control.audit").Scan(&entries))
	require.Positive(t, entries)
	for _, statement := range []string{
		"UPDATE control.audit SET actor = 'somebody else'", "DELETE FROM control.audit", "TRUNCATE control.audit", "DROP TABLE control.audit",
		"ALTER TABLE control.audit DISABLE TRIGGER ALL", "UPDATE control.checkpoints SET document = '{}'", "DELETE FROM control.checkpoints", "TRUNCATE control.checkpoints",
		"INSERT INTO control.checkpoints (organization, seq, document) VALUES ('', 1000, '{}')",
	} {
		_, err := control.ExecContext(t.Context(), statement)
		var refused *pq.Error
		if assert.ErrorAs(t, err, &refused, statement) {
			assert.Equal(t, "42501", string(refused.Code), "%s: %s", statement, refused.Message)
		}
	}
}
