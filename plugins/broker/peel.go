package broker

import (
	"bytes"
	"html"
	"unicode/utf16"
	"unicode/utf8"
)

// view is a text with escapes undone. Byte i of it stands for the original's
// bytes from[i] to to[i]; nil: the view is the original.
type view struct {
	bytes    []byte
	from, to []int
}

// span translates a range of the view, not empty, into one of the original.
func (v view) span(start, end int) (from, to int) {
	if v.from == nil {
		return start, end
	}
	return v.from[start], v.to[end-1]
}

// escapes are kinds of escaping; peel undoes those asked for, once.
type escapes uint8

const (
	percents escapes = 1 << iota
	backslashes
	entities
	spaces // whitespace within, as in wrapped base64; undone by leaving it out

	allEscapes = percents | backslashes | entities
)

// present says which kinds may stand in a text.
func present(text []byte) escapes {
	var kinds escapes
	if bytes.IndexByte(text, '%') >= 0 {
		kinds |= percents
	}
	if bytes.IndexByte(text, '\\') >= 0 {
		kinds |= backslashes
	}
	if bytes.IndexByte(text, '&') >= 0 {
		kinds |= entities
	}
	return kinds
}

// peel undoes one layer of escapes; false when there was none.
func (v view) peel(kinds escapes) (view, bool) {
	if kinds&spaces == 0 && present(v.bytes)&kinds == 0 {
		return v, false
	}
	size := len(v.bytes)
	out := view{bytes: make([]byte, 0, size), from: make([]int, 0, size), to: make([]int, 0, size)}
	changed := false
	var decoded [2 * utf8.UTFMax]byte
	for i := 0; i < size; {
		plain, used := undo(v.bytes[i:], kinds, decoded[:0])
		if used == 0 {
			plain, used = append(decoded[:0], v.bytes[i]), 1
		} else {
			changed = true
		}
		from, to := v.span(i, i+used)
		for _, b := range plain {
			out.bytes, out.from, out.to = append(out.bytes, b), append(out.from, from), append(out.to, to)
		}
		i += used
	}
	return out, changed
}

// undo decodes the escape that text begins with into out and says how many
// bytes it took; 0 when none stands there.
func undo(text []byte, kinds escapes, out []byte) (decoded []byte, used int) {
	switch text[0] {
	case '%':
		if kinds&percents != 0 && len(text) >= 3 && isHex(text[1]) && isHex(text[2]) {
			return append(out, unhex(text[1])<<4|unhex(text[2])), 3
		}
	case '\\':
		if kinds&backslashes != 0 {
			return undoBackslash(text, out)
		}
	case '&':
		if kinds&entities == 0 {
			break
		}
		end := bytes.IndexByte(text[:min(len(text), 12)], ';')
		if end < 0 {
			break
		}
		entity := string(text[:end+1])
		if plain := html.UnescapeString(entity); plain != entity {
			return append(out, plain...), end + 1
		}
	case ' ', '\t', '\r', '\n':
		if kinds&spaces != 0 {
			return out, 1
		}
	}
	return nil, 0
}

// undoBackslash decodes the escapes of JSON strings, and \xHH.
func undoBackslash(text, out []byte) (decoded []byte, used int) {
	if len(text) < 2 {
		return nil, 0
	}
	switch c := text[1]; c {
	case 'u':
		first, ok := unhex4(text)
		if !ok {
			return nil, 0
		}
		if utf16.IsSurrogate(first) {
			if second, ok := unhex4(text[6:]); ok {
				if joined := utf16.DecodeRune(first, second); joined != utf8.RuneError {
					return utf8.AppendRune(out, joined), 12
				}
			}
		}
		return utf8.AppendRune(out, first), 6
	case 'x':
		if len(text) >= 4 && isHex(text[2]) && isHex(text[3]) {
			return append(out, unhex(text[2])<<4|unhex(text[3])), 4
		}
		return nil, 0
	case 'b', 'f', 'n', 'r', 't':
		return append(out, map[byte]byte{'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}[c]), 2
	default:
		return append(out, c), 2
	}
}

func unhex4(text []byte) (rune, bool) {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range text[2:6] {
		if !isHex(c) {
			return 0, false
		}
		r = r<<4 | rune(unhex(c))
	}
	return r, true
}

// maxLayers is how many escapings, one over the other, are looked through.
const maxLayers = 4

// views are the forms of a text in which a secret is looked for: as it is,
// with each kind of escape undone alone (the secret itself may look like an
// escape of another kind), all of them undone layer by layer, and without
// whitespace.
func views(text []byte) []view {
	plain := view{bytes: text}
	list := []view{plain}
	kinds := present(text)
	for _, kind := range []escapes{percents, backslashes, entities} {
		if kinds&kind == 0 || kinds == kind { // alone it is the first layer of the loop below
			continue
		}
		if single, changed := plain.peel(kind); changed {
			list = append(list, single)
		}
	}
	last := plain
	for range maxLayers {
		next, changed := last.peel(allEscapes)
		if !changed {
			break
		}
		last = next
		list = append(list, next)
	}
	if bytes.ContainsAny(last.bytes, " \t\r\n") {
		if joined, changed := last.peel(spaces); changed {
			list = append(list, joined)
		}
	}
	return list
}
