package seal_test

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema/seal"
)

// A string is decoded as package json does it, in memory of our own.
func FuzzUnquote(f *testing.F) {
	for _, text := range []string{`"a"`, `""`, `"\"\\\/\b\f\n\r\t"`, `"\u00e9\u20AC"`, `"\ud83d\ude00 \ud83d \ude00 \ud83dx"`, `"\ud83d\ud83d\ude00"`, `"é€😀"`, `"\u0000"`, `"\udfff"`, `1`, `null`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var want string
		if !utf8.Valid(in) || len(in) == 0 || in[0] != '"' || json.Unmarshal(in, &want) != nil {
			return
		}
		var got seal.Values
		require.NoError(t, json.Unmarshal(append(append([]byte(`{"x":`), in...), '}'), &got))
		require.Equal(t, want, got["x"])
		got.Forget()
		require.Empty(t, got)
	})
}
