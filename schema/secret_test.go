package schema_test

import (
	"bytes"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/tenonhq/tenon/schema"
)

type document struct{ Secret schema.Secret }

type holder struct {
	Secret  any
	hidden  any
	list    []schema.Secret
	byName  map[string]schema.Secret
	Pointer *schema.Secret
}

// A secret shows itself under no verb, in no encoding, in no error (invariants 1 and 10).
func TestSecretRedactsItself(t *testing.T) {
	const canary = "canary-9c41-secret"
	s := schema.NewSecret([]byte(canary))
	nested := holder{s, s, []schema.Secret{s}, map[string]schema.Secret{"k": s}, &s}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%o", "%b", "%c", "%U", "%e", "%t", "%p", "%w", "%10.3s"} {
		for _, v := range []any{s, &s, nested, &nested, []any{s}, map[string]any{"k": nested}} {
			fmt.Fprintf(&out, verb, v)
			out.WriteString(fmt.Errorf("wrapped: "+verb, v).Error()) //nolint:err113 // What is tested is the printing.
			out.WriteString(schema.Errorf(schema.CodeInvalid, "wrapped: "+verb, v).Error())
		}
	}
	for _, handler := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
		slog.New(handler).Info("m", "a", s, "b", &s, "nested", nested, slog.Group("g", "c", s))
	}
	require.NoError(t, json.NewEncoder(&out).Encode(nested))
	require.NoError(t, xml.NewEncoder(&out).Encode(document{s}))
	require.NoError(t, yaml.NewEncoder(&out).Encode(map[string]any{"s": s, "n": nested}))
	require.NoError(t, gob.NewEncoder(&out).Encode(s))
	require.NoError(t, json.NewEncoder(&out).Encode(map[string]any{"s": s}))
	for _, form := range []string{
		canary, hex.EncodeToString([]byte(canary)), fmt.Sprintf("% x", canary), base64.StdEncoding.EncodeToString([]byte(canary)),
		"99 97 110 97 114 121", "0x63, 0x61, 0x6e",
	} {
		assert.NotContains(t, out.String(), form)
	}
	assert.Contains(t, out.String(), "[redacted]")
}

func TestSecretWipesEveryCopy(t *testing.T) {
	raw := []byte("canary")
	s := schema.NewSecret(raw)
	same := s
	assert.False(t, same.IsZero())
	assert.Equal(t, "canary", string(same.Reveal()))
	s.Wipe()
	assert.True(t, same.IsZero())
	assert.Nil(t, same.Reveal())
	assert.Equal(t, make([]byte, 6), raw, "the bytes themselves are gone")
	s.Wipe()

	var zero schema.Secret
	zero.Wipe()
	assert.True(t, zero.IsZero())
	assert.Nil(t, zero.Reveal())
	assert.Equal(t, "[redacted]", zero.String())
}

func TestErrorsShowWhatACallerMaySee(t *testing.T) {
	cause := errors.New("dial tcp 10.0.0.7:5432: refused")
	err := schema.Errorf(schema.CodeUnavailable, "the database did not answer: %w", cause).At("/a/0").Advise("Try again.")
	assert.Equal(t, "unavailable: the database did not answer (at /a/0)", err.Error())
	assert.Equal(t, "the database did not answer", err.Message)
	require.ErrorIs(t, err, cause)
	assert.Equal(t, schema.CodeUnavailable, schema.CodeOf(fmt.Errorf("outer: %w", err)))
	assert.Equal(t, schema.CodeInternal, schema.CodeOf(cause))
	assert.Equal(t, schema.Code(""), schema.CodeOf(nil))

	var out bytes.Buffer
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", "error", err)
	assert.Contains(t, out.String(), "10.0.0.7", "the log has the cause")

	plain := schema.Errorf(schema.CodeInvalid, "%d of %s", 3, "four")
	assert.Equal(t, "3 of four", plain.Message)
	require.NoError(t, plain.Err)
}

func TestErrorfWithoutTheTextOfTheCause(t *testing.T) {
	inner := errors.New("password=hunter2")
	for _, err := range []*schema.Error{
		schema.Errorf(schema.CodeInternal, "failed: %w", inner),
		schema.Errorf(schema.CodeInternal, "%w", inner),
		schema.Errorf(schema.CodeInternal, "failed %w afterwards with %d", inner, 3),
		schema.Errorf(schema.CodeInternal, "two: %w, %w", inner, inner),
		schema.Errorf(schema.CodeInternal, "both %v: %w", inner, inner),
	} {
		assert.NotContains(t, err.Error(), "hunter2")
		assert.NotContains(t, err.Error(), "\x00")
	}
}
