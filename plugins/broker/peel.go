package broker

import (
	"bytes"
	"cmp"
	"html"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

// view is a text with escapes undone, and the way back to the original text.
type view struct {
	bytes []byte
	// marks, by ascending at, are the bytes that do not stand for the one
	// byte right after what the byte before them stands for.
	marks []mark
}

// mark says that byte at of a view stands for the original's [from, to).
type mark struct{ at, from, to int }

// span translates a range of the view, not empty, into one of the original.
func (v view) span(start, end int) (from, to int) {
	from, _ = v.locate(start)
	_, to = v.locate(end - 1)
	return from, to
}

func (v view) locate(i int) (from, to int) {
	n, found := slices.BinarySearchFunc(v.marks, i, func(m mark, i int) int { return cmp.Compare(m.at, i) })
	if found {
		return v.marks[n].from, v.marks[n].to
	}
	if n == 0 {
		return i, i + 1
	}
	last := v.marks[n-1]
	from = last.to + i - last.at - 1
	return from, from + 1
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

// begins says which kinds of escape a byte may begin.
var begins = [256]escapes{'%': percents, '\\': backslashes, '&': entities, ' ': spaces, '\t': spaces, '\r': spaces, '\n': spaces}

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
	var decoded [2 * utf8.UTFMax]byte
	first := v.escape(kinds)
	if first == len(v.bytes) {
		return v, false
	}
	out := view{bytes: append(make([]byte, 0, len(v.bytes)), v.bytes[:first]...)}
	known, _ := slices.BinarySearchFunc(v.marks, first, func(m mark, i int) int { return cmp.Compare(m.at, i) })
	out.marks = append(make([]mark, 0, known+16), v.marks[:known]...)
	next := 0 // where the original goes on
	if first > 0 {
		_, next = v.locate(first - 1)
	}
	at := next // where it goes on as v reads it
	for i := first; i < len(v.bytes); {
		plain, used := undo(v.bytes[i:], kinds, decoded[:0])
		if used == 0 {
			// A run without escapes and marks is copied whole.
			used = v.run(i, known, kinds)
			plain = v.bytes[i : i+used]
		}
		from, to := at, at
		for n := range used {
			if known < len(v.marks) && v.marks[known].at == i+n {
				if n == 0 {
					from = v.marks[known].from
				}
				to = v.marks[known].to
				known++
			} else {
				to++
			}
		}
		if run := to-from == len(plain) && len(plain) == used; run && from == next {
			out.bytes = append(out.bytes, plain...)
		} else {
			out.add(plain, from, to, run)
		}
		if len(plain) > 0 {
			next = to
		}
		at = to
		i += used
	}
	return out, true
}

// add appends bytes that do not go on where the ones before them ended: either
// a run, of which the first byte needs a mark, or an escape, all of which
// stand for the whole of it.
func (v *view) add(plain []byte, from, to int, run bool) {
	for n, b := range plain {
		if run && n == 0 {
			v.marks = append(v.marks, mark{at: len(v.bytes), from: from, to: from + 1})
		}
		if !run {
			v.marks = append(v.marks, mark{at: len(v.bytes), from: from, to: to})
		}
		v.bytes = append(v.bytes, b)
	}
}

// run is the length of the text from i on, at least 1, in which neither an
// escape nor the known-th mark stands, but perhaps at its first byte.
func (v view) run(i, known int, kinds escapes) int {
	end := len(v.bytes)
	if known < len(v.marks) {
		if v.marks[known].at == i {
			return 1
		}
		end = v.marks[known].at
	}
	for n, c := range v.bytes[i+1 : end] {
		if begins[c]&kinds != 0 {
			return n + 1
		}
	}
	return end - i
}

// escape returns where the first escape stands; the length when there is none.
func (v view) escape(kinds escapes) int {
	var decoded [2 * utf8.UTFMax]byte
	for i, c := range v.bytes {
		if begins[c]&kinds != 0 {
			if _, used := undo(v.bytes[i:], kinds, decoded[:0]); used > 0 {
				return i
			}
		}
	}
	return len(v.bytes)
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
	case '"', '\\', '/', '\'':
		return append(out, c), 2
	default:
		return nil, 0
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

// views are the forms of a text in which a secret is looked for: as it is, all
// escapes undone layer by layer, each kind undone alone (what stands before a
// secret may look like an escape of another kind), and without whitespace.
// Mixed asks for two kinds one after the other too: for a secret that itself
// looks escaped.
func views(text []byte, mixed bool) []view {
	plain := view{bytes: text}
	list, last := chain([]view{plain}, plain, allEscapes)
	kinds := present(text)
	for _, kind := range []escapes{percents, backslashes, entities} {
		if kinds != kind && kinds&kind != 0 {
			list, _ = chain(list, plain, kind)
		}
		if !mixed {
			continue
		}
		if single, changed := plain.peel(kind); changed {
			for _, other := range []escapes{percents, backslashes, entities} {
				if double, changed := single.peel(other); changed && other != kind {
					list = append(list, double)
				}
			}
		}
	}
	if bytes.ContainsAny(last.bytes, " \t\r\n") {
		if joined, changed := last.peel(spaces); changed {
			list = append(list, joined)
		}
	}
	return list
}

// chain adds the layers found by undoing the same kinds again and again.
func chain(list []view, v view, kinds escapes) (all []view, last view) {
	for range maxLayers {
		next, changed := v.peel(kinds)
		if !changed {
			break
		}
		v = next
		list = append(list, v)
	}
	return list, v
}
