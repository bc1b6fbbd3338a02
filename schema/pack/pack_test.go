package pack

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"testing"

	"github.com/klauspost/compress/s2"
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
	for _, block := range [][]byte{s2.Encode(nil, make([]byte, Limit+1)), binary.AppendUvarint(nil, 1<<40), nil, {5}} {
		_, err = Unpack(append([]byte{quickly}, block...))
		require.Error(t, err)
	}
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
	_, err = Unpack([]byte{4, 'a'})
	require.Error(t, err)
}

// TestQuickStays: a block of S2 with the dictionary, as a former release wrote it, is read.
func TestQuickStays(t *testing.T) {
	t.Parallel()
	kept, err := hex.DecodeString(quickOnce)
	require.NoError(t, err)
	plain, err := Unpack(kept)
	require.NoError(t, err)
	require.True(t, bytes.Equal([]byte(event), plain))
}

// quickOnce is event.
const quickOnce = "03b9023258027a07023ef8011c53686f702f322e313dca2c6964223a226d73675f3437312e180036e2011c3935393431323334c6b9010c34373131f9" +
	"8508616461f5880c6f7267223e60081831392e3930222c3e8d0628736b75223a224f414b222c2a030808327d5d461502646d386d31337a307a663332" +
	"61637132373662743031706e62227d"

const event = `{"headers":{"content-type":"application/json","user-agent":"Shop/2.1","webhook-id":"msg_4711","webhook-timestamp":"1795941234"},` +
	`"content_type":"application/json","body":{"id":4711,"email":"ada@example.org","total_price":"19.90","line_items":[{"sku":"OAK","quantity":2}]},` +
	`"source":"src_01m8m13z0zf32acq276bt01pnb"}`

// TestTheDictionaryStays: what was packed with it is read with it for ever.
func TestTheDictionaryStays(t *testing.T) {
	t.Parallel()
	sum := sha256.Sum256([]byte(words))
	require.Equal(t, "237a5db89270c92fbdbef8cbc8ed6b073c1c9a999ff98094225c6a40b72d65fe", hex.EncodeToString(sum[:]))
}

// TestPackIsWorthIt: a small event takes much less room.
func TestPackIsWorthIt(t *testing.T) {
	t.Parallel()
	require.Less(t, len(Quick([]byte(event))), len(event)*2/3)
	require.Less(t, len(Pack([]byte(event))), len(event)*2/3)
}

// FuzzUnpack: what was packed unpacks; anything else errs or stays bounded.
func FuzzUnpack(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{plainly})
	f.Add([]byte(`{"a":1}`))
	f.Add(Pack(bytes.Repeat([]byte("abc"), 1000)))
	f.Add(Quick([]byte(event)))
	f.Add(bytes.Repeat([]byte(event), 500))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, packed := range [][]byte{Pack(data), Quick(data)} {
			back, err := Unpack(packed)
			require.NoError(t, err)
			require.True(t, bytes.Equal(data, back))
		}
		if plain, err := Unpack(data); err == nil {
			require.LessOrEqual(t, len(plain), max(Limit, len(data)))
		}
	})
}
