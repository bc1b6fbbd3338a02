package pack

import (
	"bytes"
	"sync"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"

	"github.com/tenonhq/tenon/schema"
)

// The first byte of what is packed: as it is, with zstd (RFC 8878), with zstd and the
// dictionary, as a block of S2 (github.com/klauspost/compress/s2) with the dictionary.
// Others below space are refused.
const (
	plainly    = 0
	zstandard  = 1
	dictionary = 2
	quickly    = 3
	firstText  = ' '
)

const (
	// from is the size in bytes below which compression is not tried.
	from = 96
	// Limit bounds in bytes what something packed can grow to. Temporal takes payloads
	// up to 2 MiB and messages up to 4 MiB.
	Limit = 16 << 20
)

// dictionaryID names the dictionary in what was packed with it: another one is to have
// another number, and this one is kept.
const dictionaryID = 1

var encoder = sync.OnceValues(func() (*zstd.Encoder, error) {
	return zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithLowerEncoderMem(true),
		zstd.WithWindowSize(128<<10), zstd.WithEncoderCRC(false), zstd.WithEncoderDictRaw(dictionaryID, []byte(words)))
})

var decoder = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(Limit), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderDictRaw(dictionaryID, []byte(words)))
})

var quick = sync.OnceValue(func() *s2.Dict { return s2.MakeDict([]byte(words), nil) })

// Pack compresses when that saves at least an eighth.
func Pack(plain []byte) []byte {
	if len(plain) >= from && len(plain) <= Limit {
		if e, err := encoder(); err == nil {
			packed := e.EncodeAll(plain, append(make([]byte, 0, len(plain)), dictionary))
			if worth(packed, plain) {
				return packed
			}
		}
	}
	return asIs(plain)
}

// Quick is Pack for what somebody waits for: it takes a sixth of the time, and leaves a
// tenth more.
func Quick(plain []byte) []byte {
	if len(plain) >= from && len(plain) <= Limit {
		if d := quick(); d != nil {
			room := make([]byte, 1+s2.MaxEncodedLen(len(plain)))
			room[0] = quickly
			packed := room[:1+len(d.Encode(room[1:], plain))]
			if worth(packed, plain) {
				return packed
			}
		}
	}
	return asIs(plain)
}

func worth(packed, plain []byte) bool { return len(packed) <= len(plain)-len(plain)/8 }

func asIs(plain []byte) []byte {
	return append(append(make([]byte, 0, len(plain)+1), plainly), plain...)
}

// Unpack undoes Pack. What does not unpack, or to more than Limit, is schema.CodeInvalid.
func Unpack(packed []byte) ([]byte, error) {
	if len(packed) == 0 {
		return nil, schema.Errorf(schema.CodeInvalid, "what is packed is empty")
	}
	switch kind := packed[0]; {
	case kind >= firstText, kind == '\t', kind == '\n', kind == '\r':
		return bytes.Clone(packed), nil
	case kind == plainly:
		return bytes.Clone(packed[1:]), nil
	case kind == zstandard, kind == dictionary:
		d, err := decoder()
		if err != nil {
			return nil, schema.Errorf(schema.CodeInternal, "the decompressor cannot be made: %w", err)
		}
		plain, err := d.DecodeAll(packed[1:], nil)
		if err != nil {
			return nil, schema.Errorf(schema.CodeInvalid, "what is packed does not decompress: %w", err)
		}
		return plain, nil
	case kind == quickly:
		return unquick(packed[1:])
	default:
		return nil, schema.Errorf(schema.CodeInvalid, "it is packed in an unknown way")
	}
}

func unquick(block []byte) ([]byte, error) {
	length, err := s2.DecodedLen(block)
	d := quick()
	if err != nil || d == nil || length > Limit {
		return nil, schema.Errorf(schema.CodeInvalid, "what is packed does not decompress: it has no length, or one above the limit")
	}
	plain, err := d.Decode(nil, block)
	if err != nil {
		return nil, schema.Errorf(schema.CodeInvalid, "what is packed does not decompress: %w", err)
	}
	return plain, nil
}
