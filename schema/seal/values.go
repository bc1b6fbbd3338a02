package seal

import (
	"encoding/json"
	"errors"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// Decode reads a JSON object that may hold [Values], and has members of these names
// alone, as they are spelled. It reads in place: a Decoder would copy the text into
// a buffer that nobody can overwrite (invariant 1). What into holds of the values
// after an error is the caller's to overwrite, too.
func Decode(text []byte, into any, names ...string) error {
	// Unmarshal ignores members of other names, and takes those of other cases.
	var members map[string]member
	if err := json.Unmarshal(text, &members); err != nil {
		return err
	}
	for name := range members {
		if !slices.Contains(names, name) {
			return errors.New("a member has another name")
		}
	}
	return json.Unmarshal(text, into)
}

// member is a value of an object that is not looked at, nor copied.
type member struct{}

// UnmarshalJSON takes any value.
func (*member) UnmarshalJSON([]byte) error { return nil }

// Values are the values of a credential by name, decoded from JSON into memory
// that can be overwritten: see [Values.Forget].
type Values map[string]string

// clearText is one value. Package json decodes a string with escapes, as a key in
// PEM has them, in a buffer that nobody can overwrite (invariant 1).
type clearText struct{ text []byte }

var errNoText = errors.New("not a string")

// UnmarshalJSON takes a string. What it is given is a part of the text, which is
// overwritten by who has it.
func (c *clearText) UnmarshalJSON(raw []byte) error {
	if raw[0] != '"' {
		return errNoText
	}
	c.text = unquote(raw[1 : len(raw)-1])
	return nil
}

// UnmarshalJSON takes an object of strings.
func (c *Values) UnmarshalJSON(raw []byte) error {
	var decoded map[string]*clearText
	err := json.Unmarshal(raw, &decoded)
	*c = make(Values, len(decoded))
	for name, value := range decoded {
		if value == nil {
			err = errNoText
			continue
		}
		(*c)[name] = unsafe.String(unsafe.SliceData(value.text), len(value.text))
	}
	return err
}

// Forget overwrites what UnmarshalJSON decoded, which nobody else may have: the
// values, and the names, since a secret may be one of them, in the wrong place.
func (c Values) Forget() {
	for name, value := range c {
		delete(c, name)
		for _, text := range []string{name, value} {
			if len(text) > 1 { // Those of one byte lie in the program itself.
				clear(unsafe.Slice(unsafe.StringData(text), len(text)))
			}
		}
	}
}

// unquote decodes what stands between the quotation marks of a JSON string
// (RFC 8259, 7) that a parser has found to be one. A half of a surrogate pair
// becomes U+FFFD; what is not UTF-8 stays, for [Check] to refuse.
func unquote(raw []byte) []byte {
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			out = append(out, raw[i])
			continue
		}
		i++
		switch raw[i] {
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r := unit(raw[i+1:])
			i += 4
			if utf16.IsSurrogate(r) {
				second := rune(utf8.RuneError)
				if len(raw) > i+6 && raw[i+1] == '\\' && raw[i+2] == 'u' {
					second = unit(raw[i+3:])
				}
				if r = utf16.DecodeRune(r, second); r != utf8.RuneError {
					i += 6
				}
			}
			out = utf8.AppendRune(out, r)
		default:
			out = append(out, raw[i])
		}
	}
	return out
}

// unit is a number of four hexadecimal digits.
func unit(digits []byte) (r rune) {
	for _, d := range digits[:4] {
		switch {
		case d <= '9':
			d -= '0'
		case d <= 'F':
			d -= 'A' - 10
		default:
			d -= 'a' - 10
		}
		r = r<<4 | rune(d)
	}
	return r
}
