package codec

import (
	"bytes"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
)

// A payload that unpacks to more than the limit is refused, not built.
func TestUnpackIsBounded(t *testing.T) {
	t.Parallel()
	e, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	bomb := e.EncodeAll(make([]byte, maxUnpacked+1), []byte{packedZstd})
	_, err = unpack(bomb)
	require.Error(t, err)
}

// FuzzUnpack: what was packed unpacks; anything else errs or stays bounded.
func FuzzUnpack(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{packedPlain})
	f.Add(pack(bytes.Repeat([]byte("abc"), 1000)))
	f.Fuzz(func(t *testing.T, data []byte) {
		back, err := unpack(pack(data))
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, back))
		if plain, err := unpack(data); err == nil {
			require.LessOrEqual(t, len(plain), max(maxUnpacked, len(data)))
		}
	})
}
