package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal"
)

// TestCredentialsSet: values are checked and sealed before they leave; what is
// sent, said and refused has none of them.
func TestCredentialsSet(t *testing.T) {
	private, err := seal.NewPrivateKey()
	require.NoError(t, err)
	inject := `{"scheme":"free","headers":[{"name":"X-App","value":"app"},{"name":"X-User","value":"user"}]}`
	var sent bytes.Buffer
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			_, _ = io.Copy(&sent, r.Body)
			_, _ = io.WriteString(w, `{}`)
			return
		}
		_, _ = io.WriteString(w, `{"public_key":"`+private.Public().String()+`","organization":"org_a","connection":"con_a","version":2,"use":{"hosts":["api.example.com"],"inject":`+inject+`}}`)
	}))
	defer api.Close()
	keys := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(keys, []byte("key"), 0o600))
	app := filepath.Join(t.TempDir(), "app")
	require.NoError(t, os.WriteFile(app, []byte("canary-app-5e1f\n"), 0o600))
	run := func(input string, args ...string) (said string, err error) {
		sent.Reset()
		var out bytes.Buffer
		cmd := credentialsCommand()
		cmd.SetArgs(append([]string{"set", "--api", api.URL, "--connection", "books", "--key-file", keys}, args...))
		cmd.SetIn(strings.NewReader(input))
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		cmd.SilenceUsage = true
		err = cmd.Execute()
		return out.String(), err
	}
	said, err := run("user=test_canary5e1f\n", "--file", "app="+app)
	require.NoError(t, err)
	assert.Contains(t, said, "warning: /values/user")
	assert.Contains(t, said, "saved as version 2")
	assert.NotContains(t, said+sent.String(), "canary")
	var body struct {
		Sealed  []byte `json:"sealed"`
		Version int    `json:"version"`
	}
	require.NoError(t, json.Unmarshal(sent.Bytes(), &body))
	assert.Equal(t, 2, body.Version)
	id, _, err := seal.Split(seal.SuiteCredential, body.Sealed)
	require.NoError(t, err)
	assert.Equal(t, private.Public().ID(), id)

	for name, input := range map[string]string{
		"masked": "user=canary****\n", "missing": "", "unknown name": "canary=x\nuser=canary-user\n", "space": "user= canary-user\n", "no line": "canary-user\n",
	} {
		said, err := run(input, "--file", "app="+app)
		require.Equal(t, schema.CodeInvalid, schema.CodeOf(err), name)
		assert.NotContains(t, said+err.Error(), "canary", name)
		assert.Zero(t, sent.Len(), name)
	}
	_, err = run("user=canary-user\n", "--file", "app")
	require.Equal(t, schema.CodeInvalid, schema.CodeOf(err))
}
