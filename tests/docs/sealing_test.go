package docs

import (
	"encoding/json"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/seal/sealtest"
)

var snippet = regexp.MustCompile(`(?s)<h2>(\w+) \([\w-]+\)</h2>\s*<pre>(.*?)</pre>`)

// calls give each language the answer of the API and the values, as JSON in two
// arguments, and print what the snippet returns.
var calls = map[string]struct {
	file, before, after string
	run                 []string
}{
	"Python": {
		file: "seal.py", run: []string{"/usr/bin/python3"},
		after: "\nimport sys\nprint(json.dumps(seal(json.loads(sys.argv[1]), json.loads(sys.argv[2]))))\n",
	},
	"JavaScript": {
		file: "seal.mjs", run: []string{"node"},
		after: "\nconsole.log(JSON.stringify(seal(JSON.parse(process.argv[2]), JSON.parse(process.argv[3]))));\n",
	},
	"PHP": {
		file: "seal.php", run: []string{"php"}, before: "<?php\n",
		after: "\necho json_encode(seal(json_decode($argv[1]), json_decode($argv[2], true)));\n",
	},
}

// TestSealingIsShownAsItIs runs what the documentation of the API shows for
// sealing a credential, and opens what comes out with libsodium itself.
func TestSealingIsShownAsItIs(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(read(t, "tests", "docs", "testdata", "sealing", name)), 0o600))
	}
	npm := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	npm.Dir = dir
	said, err := npm.CombinedOutput()
	require.NoError(t, err, "%s", said)

	private, err := seal.NewPrivateKey()
	require.NoError(t, err)
	public := private.Public()
	answer, err := json.Marshal(map[string]any{
		"format": "tenon-credential-v1", "public_key": public, "key_id": public.ID().String(), "version": 3,
		"organization": schema.NewID(schema.PrefixOrganization), "connection": schema.NewID(schema.PrefixConnection),
		"use": map[string]any{"hosts": []string{"api.example.com"}, "path_prefix": "/v1/", "inject": map[string]any{"scheme": "bearer"}},
	})
	require.NoError(t, err)
	values := `{"token":"t/ö\"k≠1"}`

	sodium := sealtest.Build(t)
	found := snippet.FindAllStringSubmatch(read(t, "api", "docs", "sealing.html"), -1)
	require.Len(t, found, len(calls))
	for _, s := range found {
		t.Run(s[1], func(t *testing.T) {
			call := calls[s[1]]
			program := filepath.Join(dir, call.file)
			require.NoError(t, os.WriteFile(program, []byte(call.before+html.UnescapeString(s[2])+call.after), 0o600))
			cmd := exec.CommandContext(t.Context(), call.run[0], append(call.run[1:], program, string(answer), values)...)
			cmd.Stderr = os.Stderr
			out, err := cmd.Output()
			require.NoError(t, err, "what .ci/deps names is needed")
			var body struct {
				Sealed  []byte
				Version int
			}
			require.NoError(t, json.Unmarshal(out, &body), "%s", out)
			require.Equal(t, 3, body.Version)
			id, box, err := seal.Split(seal.SuiteCredential, body.Sealed)
			require.NoError(t, err)
			require.Equal(t, public.ID(), id)
			plain, ok := strings.CutPrefix(string(sodium.Open(t, public[:], private.Reveal(), box)), "tenon-credential-v1\n")
			require.True(t, ok)
			var given, sealed map[string]any
			require.NoError(t, json.Unmarshal(answer, &given))
			require.NoError(t, json.Unmarshal([]byte(plain), &sealed))
			for _, member := range []string{"organization", "connection", "version", "use"} {
				require.Equal(t, given[member], sealed[member])
			}
			inner, err := json.Marshal(sealed["values"])
			require.NoError(t, err)
			require.JSONEq(t, values, string(inner))
		})
	}
}
