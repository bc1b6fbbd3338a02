package verify_test

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/api/internal/verify"
	"github.com/tenonhq/tenon/schema/config"
)

//go:embed testdata/vendors/package.json testdata/vendors/package-lock.json testdata/vendors/sign.mjs
var project embed.FS

// install puts the vendors' libraries, at the versions of the lock file, where
// they stay for the next time, and returns the directory.
func install(t *testing.T) string {
	t.Helper()
	_, err := exec.LookPath("npm")
	require.NoError(t, err, "the vendors' signing libraries run with node and npm: install Node.js 20 or newer")
	sum := sha256.New()
	files := map[string][]byte{}
	for _, name := range []string{"package.json", "package-lock.json", "sign.mjs"} {
		files[name], err = project.ReadFile("testdata/vendors/" + name)
		require.NoError(t, err)
		sum.Write(files[name])
	}
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	dir := filepath.Join(cache, "tenon-test", "vendors-"+hex.EncodeToString(sum.Sum(nil))[:16])
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	require.NoError(t, os.MkdirAll(filepath.Dir(dir), 0o755))
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "installing-") //nolint:usetesting // It is renamed to where it stays, so it must lie beside that.
	require.NoError(t, err)
	defer func() { require.NoError(t, os.RemoveAll(fresh)) }()
	for name, content := range files {
		require.NoError(t, os.WriteFile(filepath.Join(fresh, name), content, 0o600))
	}
	npm := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	npm.Dir = fresh
	said, err := npm.CombinedOutput()
	require.NoError(t, err, "npm could not install the vendors' signing libraries:\n%s", said)
	if err := os.Rename(fresh, dir); err != nil {
		require.DirExists(t, dir, "another test was first, or nobody: %v", err)
	}
	return dir
}

// question is what a vendor's library is asked.
type question struct {
	Vendor  string            `json:"vendor"`
	Secret  string            `json:"secret"`
	Body    string            `json:"body"`
	ID      string            `json:"id"`
	URL     string            `json:"url"`
	Params  map[string]any    `json:"params"`
	Headers map[string]string `json:"headers"`
	At      int64             `json:"at"`
}

func ask(t *testing.T, questions []question) []map[string]string {
	t.Helper()
	dir := install(t)
	encoded, err := json.Marshal(questions)
	require.NoError(t, err)
	node := exec.CommandContext(t.Context(), "node", "sign.mjs")
	node.Dir, node.Stdin, node.Stderr = dir, strings.NewReader(string(encoded)), os.Stderr
	out, err := node.Output()
	require.NoError(t, err)
	var answers []map[string]string
	require.NoError(t, json.Unmarshal(out, &answers))
	require.Len(t, answers, len(questions))
	return answers
}

var vendorBodies = []string{`{"id":"evt_1","n":1.10}`, "{\n  \"name\": \"Käse \\u00e9 🧀\"\n}", `[]`, `{"a":"` + strings.Repeat("x", 70000) + `"}`}

// What the vendors' own libraries sign is verified, and what ours takes is what
// theirs take: judged by their code, not by what is tested.
func TestVendorsLibraries(t *testing.T) {
	at := time.Now()
	secrets := map[string]string{"stripe": "whsec_" + shared, "github": shared, "svix": secret('s'), "standard-webhooks": secret('w')}
	type want struct {
		source config.Source
		body   string
		query  string
		form   bool
		judged map[string]string // headers that the vendor's library judges
	}
	var questions []question
	var wants []want
	for vendor, s := range secrets {
		for _, body := range vendorBodies {
			questions = append(questions, question{Vendor: vendor, Secret: s, Body: body, ID: "msg_1", At: at.Unix()})
			wants = append(wants, want{source: config.Source{Verifier: vendor, Secrets: values(s)}, body: body})
		}
	}
	for _, form := range []url.Values{
		{"MessageSid": {"SM1"}, "Body": {"Käse & more + 1"}, "From": {"+15551234"}, "Empty": {""}},
		{"Media": {"b", "a", "b"}, "Z": {"1"}, "a": {"2"}},
	} {
		params := map[string]any{}
		for name, v := range form {
			if params[name] = v; len(v) == 1 {
				params[name] = v[0]
			}
		}
		questions = append(questions, question{Vendor: "twilio", Secret: shared, URL: address, Params: params})
		wants = append(wants, want{source: config.Source{Verifier: "twilio", URL: address, Secrets: values(shared)}, body: form.Encode(), form: true})
	}
	hashed := hex.EncodeToString(func() []byte { s := sha256.Sum256([]byte(vendorBodies[0])); return s[:] }())
	questions = append(questions, question{Vendor: "twilio", Secret: shared, URL: address + "?bodySHA256=" + hashed})
	wants = append(wants, want{
		source: config.Source{Verifier: "twilio", URL: address, Secrets: values(shared)}, body: vendorBodies[0], query: "bodySHA256=" + hashed,
	})
	for _, body := range vendorBodies {
		slack := slackKind()
		signed := slack.sign(slack.source, at, body).Header
		judged := map[string]string{"X-Slack-Signature": signed.Get("X-Slack-Signature"), "X-Slack-Request-Timestamp": signed.Get("X-Slack-Request-Timestamp")}
		questions = append(questions, question{Vendor: "slack", Secret: shared, Body: body, Headers: judged})
		wants = append(wants, want{source: slack.source, body: body, judged: judged})

		judged = map[string]string{
			"X-Shopify-Hmac-Sha256": base64.StdEncoding.EncodeToString(sum(sha256.New, shared, body)), "X-Shopify-Topic": "orders/create",
			"X-Shopify-Shop-Domain": "a.myshopify.com", "X-Shopify-Api-Version": "2025-01", "X-Shopify-Webhook-Id": "w1",
		}
		questions = append(questions, question{Vendor: "shopify", Secret: shared, Body: body, Headers: judged})
		wants = append(wants, want{source: config.Source{Verifier: "shopify", Secrets: values(shared)}, body: body, judged: judged})
	}
	for i, answer := range ask(t, questions) {
		q, w := questions[i], wants[i]
		if w.judged != nil {
			assert.Equal(t, "true", answer["ok"], "the library of %s refuses what the test signed", q.Vendor)
			answer = w.judged
		}
		r := post(w.body)
		r.At, r.Query = at, w.query
		for name, v := range answer {
			r.Header.Set(name, v)
		}
		if w.form {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		m, err := verify.Verify(w.source, r)
		require.NoError(t, err, "%s: %.60q", q.Vendor, w.body)
		assert.NotEmpty(t, m.ID)
		r.Body = append(r.Body, '1')
		_, err = verify.Verify(w.source, r)
		require.Error(t, err, "%s: a changed body", q.Vendor)
	}
}
