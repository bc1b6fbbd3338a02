package verify

import "strings"

// What a template of signed content may stand for.
const (
	partBody      = "{body}"
	partTimestamp = "{timestamp}"
	partID        = "{id}"
	partURL       = "{url}"
)

// maxTemplate bounds a template, in bytes.
const maxTemplate = 256

// parts divides a template into its literal text and its placeholders, in
// order. A brace that belongs to no placeholder is not taken.
func parts(template string) (list []string, ok bool) {
	for template != "" {
		open := strings.IndexAny(template, "{}")
		if open != 0 {
			if open < 0 {
				open = len(template)
			}
			list, template = append(list, template[:open]), template[open:]
			continue
		}
		end := strings.IndexByte(template, '}')
		switch name := template[:end+1]; name {
		case partBody, partTimestamp, partID, partURL:
			list, template = append(list, name), template[end+1:]
		default:
			return nil, false
		}
	}
	return list, true
}

// placeholder tells a placeholder from text.
func placeholder(part string) bool { return part[0] == '{' }

// separators are the bytes that the id must not have, so that what is signed can
// be divided in one way only: the first of the text after it and the last of the
// text before it. ok is false where a placeholder stands right beside it.
func separators(list []string) (bytes []byte, ok bool) {
	for i, part := range list {
		if part != partID {
			continue
		}
		if i > 0 {
			before := list[i-1]
			if placeholder(before) {
				return nil, false
			}
			bytes = append(bytes, before[len(before)-1])
		}
		if i+1 < len(list) {
			if placeholder(list[i+1]) {
				return nil, false
			}
			bytes = append(bytes, list[i+1][0])
		}
	}
	return bytes, true
}

// count is how often a placeholder stands in a template.
func count(list []string, name string) int {
	n := 0
	for _, part := range list {
		if part == name {
			n++
		}
	}
	return n
}
