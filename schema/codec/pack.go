package codec

import (
	"bytes"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/tenonhq/tenon/schema"
)

// The first byte of what is sealed says how the rest is packed.
const (
	packedPlain = 0
	packedZstd  = 1
)

const (
	// packFrom is the size below which compression is not tried.
	packFrom = 512
	// maxUnpacked bounds what a sealed payload can grow to. Temporal takes
	// payloads up to 2 MiB and messages up to 4 MiB.
	maxUnpacked = 16 << 20
)

var encoder = sync.OnceValues(func() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithLowerEncoderMem(true), zstd.WithWindowSize(128<<10))
})

var decoder = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxUnpacked), zstd.WithDecoderLowmem(true))
})

// pack compresses when that saves at least an eighth.
func pack(plain []byte) []byte {
	if len(plain) >= packFrom {
		if e, err := encoder(); err == nil {
			packed := e.EncodeAll(plain, []byte{packedZstd})
			if len(packed) <= len(plain)-len(plain)/8 {
				return packed
			}
		}
	}
	return append([]byte{packedPlain}, plain...)
}

// unpack undoes pack.
func unpack(packed []byte) ([]byte, error) {
	if len(packed) == 0 {
		return nil, schema.Errorf(schema.CodeInvalid, "the sealed payload is empty")
	}
	switch packed[0] {
	case packedPlain:
		return bytes.Clone(packed[1:]), nil
	case packedZstd:
		d, err := decoder()
		if err != nil {
			return nil, schema.Errorf(schema.CodeInternal, "the decompressor cannot be made: %w", err)
		}
		plain, err := d.DecodeAll(packed[1:], nil)
		if err != nil {
			return nil, schema.Errorf(schema.CodeInvalid, "the sealed payload does not decompress: %w", err)
		}
		return plain, nil
	default:
		return nil, schema.Errorf(schema.CodeInvalid, "the sealed payload is packed in an unknown way")
	}
}
