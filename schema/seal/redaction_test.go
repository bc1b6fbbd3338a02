package seal_test

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
	"go.yaml.in/yaml/v3"

	"github.com/tenonhq/tenon/schema/seal"
)

// holder has a key in every position that a careless printer could reach.
type holder struct {
	Key    any
	hidden any
	list   []any
	byName map[string]any
}

// Keys show themselves under no verb, in no encoding, in no error (invariants 1 and 10).
func TestKeysRedactThemselves(t *testing.T) {
	private, data := privateKey(t, 0x41), dataKey(t, 0x61)
	for name, key := range map[string]any{
		"private": private, "data": data, "data keys": seal.NewDataKeys(data), "pointer": &private, "pointer to data": &data,
	} {
		t.Run(name, func(t *testing.T) {
			nested := holder{Key: key, hidden: key, list: []any{key}, byName: map[string]any{"k": key}}
			var out bytes.Buffer
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%c", "%U", "%e", "%t", "%p", "%w", "%T"} {
				fmt.Fprintf(&out, verb, key)
				fmt.Fprintf(&out, verb, nested)
				fmt.Fprintf(&out, verb, &nested)
				out.WriteString(fmt.Errorf("wrapped: "+verb, key).Error()) // What is tested is the printing.
			}
			out.WriteString(errors.Join(fmt.Errorf("%v", key)).Error()) //nolint:err113 // As above.
			for _, handler := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
				slog.New(handler).Info("m", "key", key, "nested", nested, slog.Group("g", "key", key))
			}
			_ = json.NewEncoder(&out).Encode(nested)
			_ = xml.NewEncoder(&out).Encode(nested)
			_ = gob.NewEncoder(&out).Encode(key)
			_ = yaml.NewEncoder(&out).Encode(map[string]any{"key": key})
			for _, raw := range [][]byte{private.Reveal(), data.Reveal()} {
				for _, form := range []string{
					string(raw), hex.EncodeToString(raw), base64.StdEncoding.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw),
					fmt.Sprint(raw)[1:30], fmt.Sprintf("%#v", raw[:8])[len("[]byte{"):], //nolint:staticcheck // The bytes as numbers are meant.
				} {
					assert.NotContains(t, out.String(), form)
				}
			}
		})
	}
}
