package jq

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/itchyny/gojq"
)

var errOutput = fmt.Errorf("the result is larger than %d bytes", MaxOutput)

// encode appends v as JSON with sorted keys and no white space. It stops at
// room bytes, because a small value in memory may share its parts so often
// that it has no end on paper. Whole numbers keep all their digits, and a
// number that was only passed on keeps its text; the others are what float64 holds.
func encode(to []byte, v any, room, depth int) ([]byte, error) {
	if depth > MaxDepth {
		return nil, fmt.Errorf("the result nests deeper than %d levels", MaxDepth)
	}
	var err error
	switch v := v.(type) {
	case nil:
		to = append(to, "null"...)
	case bool:
		to = strconv.AppendBool(to, v)
	case int:
		to = strconv.AppendInt(to, int64(v), 10)
	case *big.Int:
		to = v.Append(to, 10)
	case json.Number:
		to = append(to, v...)
	case float64:
		text, err := gojq.Marshal(v) // NaN is null, as in jq
		if err != nil {
			return nil, err
		}
		to = append(to, text...)
	case string:
		if len(to)+len(v) > room {
			return nil, errOutput
		}
		to = appendString(to, v)
	case []any:
		to = append(to, '[')
		for i, item := range v {
			if i > 0 {
				to = append(to, ',')
			}
			if to, err = encode(to, item, room, depth+1); err != nil {
				return nil, err
			}
		}
		to = append(to, ']')
	case map[string]any:
		if to, err = encodeObject(to, v, room, depth); err != nil {
			return nil, err
		}
	default:
		return nil, errors.New("the result is not JSON")
	}
	if len(to) > room {
		return nil, errOutput
	}
	return to, nil
}

func encodeObject(to []byte, v map[string]any, room, depth int) ([]byte, error) {
	var few [16]string
	keys := few[:0]
	for key := range v {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	to = append(to, '{')
	var err error
	for i, key := range keys {
		if i > 0 {
			to = append(to, ',')
		}
		to = append(appendString(to, key), ':')
		if to, err = encode(to, v[key], room, depth+1); err != nil {
			return nil, err
		}
	}
	return append(to, '}'), nil
}

const hex = "0123456789abcdef"

// appendString writes a JSON string; what is not UTF-8 becomes U+FFFD.
func appendString(to []byte, s string) []byte {
	to = append(to, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				to = append(append(to, s[start:i]...), "\ufffd"...)
				start = i + 1
			}
			i += size
			continue
		}
		if c >= 0x20 && c != '"' && c != '\\' {
			i++
			continue
		}
		to = append(to, s[start:i]...)
		switch c {
		case '"', '\\':
			to = append(to, '\\', c)
		case '\n':
			to = append(to, `\n`...)
		case '\r':
			to = append(to, `\r`...)
		case '\t':
			to = append(to, `\t`...)
		default:
			to = append(to, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		start = i
	}
	return append(append(to, s[start:]...), '"')
}
