package pack

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
)

// A value that unpacks to more than the limit is refused, not built.
func TestUnpackIsBounded(t *testing.T) {
	t.Parallel()
	e, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	_, err = Unpack(e.EncodeAll(make([]byte, Limit+1), []byte{zstandard}))
	require.Error(t, err)
}

// What was kept before it was packed, or before there was a dictionary, is read.
func TestOlderValues(t *testing.T) {
	t.Parallel()
	e, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	text := `{"output":` + string(bytes.Repeat([]byte(`"a"`), 300)) + `}`
	for _, kept := range [][]byte{[]byte(text), append([]byte{plainly}, text...), e.EncodeAll([]byte(text), []byte{zstandard}), Pack([]byte(text))} {
		plain, err := Unpack(kept)
		require.NoError(t, err)
		require.Equal(t, text, string(plain))
	}
	plain, err := Unpack([]byte(`null`))
	require.NoError(t, err)
	require.Equal(t, `null`, string(plain))
	_, err = Unpack([]byte{3, 'a'})
	require.Error(t, err)
}

// TestTheDictionaryStays: what was packed with it is read with it for ever.
func TestTheDictionaryStays(t *testing.T) {
	t.Parallel()
	sum := sha256.Sum256([]byte(words))
	require.Equal(t, "237a5db89270c92fbdbef8cbc8ed6b073c1c9a999ff98094225c6a40b72d65fe", hex.EncodeToString(sum[:]))
}

// TestPackIsWorthIt: a small event takes much less room.
func TestPackIsWorthIt(t *testing.T) {
	t.Parallel()
	const event = `{"headers":{"content-type":"application/json","user-agent":"Shop/2.1","webhook-id":"msg_4711","webhook-timestamp":"1795941234"},` +
		`"content_type":"application/json","body":{"id":4711,"email":"ada@example.org","total_price":"19.90","line_items":[{"sku":"OAK","quantity":2}]},` +
		`"source":"src_01m8m13z0zf32acq276bt01pnb"}`
	require.Less(t, len(Pack([]byte(event))), len(event)*2/3)
}

// FuzzUnpack: what was packed unpacks; anything else errs or stays bounded.
func FuzzUnpack(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{plainly})
	f.Add([]byte(`{"a":1}`))
	f.Add(Pack(bytes.Repeat([]byte("abc"), 1000)))
	f.Fuzz(func(t *testing.T, data []byte) {
		back, err := Unpack(Pack(data))
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, back))
		if plain, err := Unpack(data); err == nil {
			require.LessOrEqual(t, len(plain), max(Limit, len(data)))
		}
	})
}
