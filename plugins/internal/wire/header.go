package wire

import (
	"maps"
	"slices"
	"strings"
)

// FromHeader gives a header as messages, in the order of its names.
func FromHeader(h map[string][]string) []*Header {
	out := make([]*Header, 0, len(h))
	for _, name := range slices.Sorted(maps.Keys(h)) {
		x := &Header{Name: strings.ToValidUTF8(name, "?")}
		for _, v := range h[name] {
			x.Values = append(x.Values, []byte(v))
		}
		out = append(out, x)
	}
	return out
}

// ToHeader gives messages as a header; values of the same name are joined.
func ToHeader(h []*Header) map[string][]string {
	out := make(map[string][]string, len(h))
	for _, x := range h {
		for _, v := range x.GetValues() {
			out[x.GetName()] = append(out[x.GetName()], string(v))
		}
	}
	return out
}
