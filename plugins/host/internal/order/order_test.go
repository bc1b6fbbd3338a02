package order_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/plugins/host/internal/order"
)

func TestParse(t *testing.T) {
	for packet, files := range map[string]int{
		`{"id":1,"verb":"start","spec":{"args":["a"],"stdin":true,"limits":{}}}`: 2, `{"id":7,"verb":"kill"}`: 0,
	} {
		o, err := order.Parse([]byte(packet), files)
		require.NoError(t, err)
		assert.NotZero(t, o.ID)
	}
	for packet, files := range map[string]int{
		`{`: 0, `{"verb":"kill"}`: 0, `{"id":1,"verb":"start"}`: 1, `{"id":1,"verb":"start","spec":{"args":["a"]}}`: 0,
		`{"id":1,"verb":"kill" }`: 1, `{"id":1,"verb":"stop"}`: 0,
	} {
		_, err := order.Parse([]byte(packet), files)
		require.Error(t, err, packet)
	}
}

// FuzzParse: whatever is accepted is complete.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"id":1,"verb":"start","spec":{"args":["a"],"stderr":true}}`), 2)
	f.Fuzz(func(t *testing.T, packet []byte, files int) {
		o, err := order.Parse(packet, files)
		if err != nil {
			return
		}
		_, err = json.Marshal(o)
		require.NoError(t, err)
		if o.Verb == order.VerbStart {
			assert.NotEmpty(t, o.Spec.Args)
			assert.Equal(t, o.Spec.Files(), files)
		}
	})
}
