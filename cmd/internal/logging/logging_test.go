package logging_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/cmd/internal/logging"
	"github.com/tenonhq/tenon/schema"
)

const canary = "canary-3b77"

func TestSecretsAreRedacted(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		log := logging.New(&out, format, "debug", "api")
		for _, name := range []string{
			"authorization", "Authorization", "token", "access_token", "client-secret", "password", "db.password", "api_key", "apiKey", "API-Key", "root key",
			"private_key", "Set-Cookie", "credential", "postgres_url", "whsec_secret", "X-Signature", "signing_key", "data-key",
		} {
			log.Info("m", name, canary)
			log.Info("m", name, []byte(canary))
			log.Info("m", name, http.Header{"A": {canary}})
			log.Info("m", slog.Group("g", name, canary))
			log.Info("m", slog.Group(name, "value", canary))
			log.With(name, canary).WithGroup("g").Info("m")
			log.WithGroup(name).Info("m", "value", canary)
		}
		s := schema.NewSecret([]byte(canary))
		log.Info("m", "value", s, "pointer", &s, "in", map[string]any{"s": s}, "list", []schema.Secret{s}, "struct", struct{ s any }{s})
		log.Info("m", "error", schema.Errorf(schema.CodeRefused, "no: %w", errors.New("plain")))
		assert.NotContains(t, out.String(), canary, format)
		assert.Contains(t, out.String(), "[redacted]")
		assert.Contains(t, out.String(), "plain", "causes are in the log")
	}
}

func TestNamesThatTellNothingStay(t *testing.T) {
	var out bytes.Buffer
	logging.New(&out, "json", "info", "api").Info("m", "credential_version", 3, "organization", "org_a", "key", "key_1", "count", 4)
	var line map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &line))
	assert.InDelta(t, 3, line["credential_version"], 0)
	assert.Equal(t, "org_a", line["organization"])
	assert.Equal(t, "key_1", line["key"])
	assert.Equal(t, "api", line["process"])
}

func TestContextsCarryIDs(t *testing.T) {
	var out bytes.Buffer
	log := logging.New(&out, "json", "info", "cell")
	ctx := logging.With(t.Context(), logging.IDs{Request: "req_1", Organization: "org_a"})
	ctx = logging.With(ctx, logging.IDs{Namespace: "ns_1", Run: "run_1"})
	log.With("a", 1).InfoContext(ctx, "m", "b", 2)
	var line map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &line))
	for name, want := range map[string]string{"request": "req_1", "organization": "org_a", "namespace": "ns_1", "run": "run_1"} {
		assert.Equal(t, want, line[name])
	}
	out.Reset()
	log.InfoContext(t.Context(), "m")
	assert.NotContains(t, out.String(), "request")
}

func TestLevels(t *testing.T) {
	var out bytes.Buffer
	log := logging.New(&out, "text", "warn", "api")
	log.Info("quiet")
	log.Warn("loud")
	assert.NotContains(t, out.String(), "quiet")
	assert.Contains(t, out.String(), "loud")
}

// Who sends a line break in a value does not begin another line.
func TestLinesAreNotForged(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		logging.New(&out, format, "info", "api").Info("m", "name", "x\n{\"level\":\"ERROR\"}\ntime=now")
		assert.Equal(t, 1, bytes.Count(out.Bytes(), []byte("\n")), format)
	}
}
