package broker

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// redacted stands where a credential stood.
const redacted = "[redacted]"

// shortSecret is the length below which a secret is looked for as a word of
// its own only: anywhere else it would be found by chance.
const shortSecret = 6

// foldedSecret is the length from which case does not matter.
const foldedSecret = 12

// secret is a text that must not come back.
type secret struct {
	text string
	// word: only where it stands as a word of its own.
	word bool
	// whole: it is bytes, not text, and has no parts of its own.
	whole bool
}

// needle is one form of a secret.
type needle struct {
	text   []byte
	folded bool // compared in lower case
	word   bool
	// lead and trail: the base64 digit beside it holds bits of the secret too.
	lead, trail bool
}

// scrubber takes secrets out of what comes back. It searches for each form a
// secret is commonly written in, in each view of the text.
type scrubber struct {
	needles []needle
	folds   bool // a needle is compared in lower case
	mixed   bool // a secret itself looks escaped
}

func newScrubber(secrets []secret) *scrubber {
	s := &scrubber{}
	seen := map[string]bool{}
	for _, secret := range withParts(secrets) {
		if !seen[secret.text] {
			seen[secret.text] = true
			s.mixed = s.mixed || strings.ContainsAny(secret.text, `%\&`)
			s.add(secret)
		}
	}
	return s
}

// withParts adds what a target may send back of a secret: it trimmed, its long
// parts (of a header value that was saved with its scheme, of a cookie), and
// what a saved basic authentication value holds.
func withParts(secrets []secret) []secret {
	all := slices.Clone(secrets)
	for _, s := range secrets {
		if s.whole {
			continue
		}
		all = append(all, secret{text: strings.TrimSpace(s.text), word: s.word})
		for _, part := range strings.FieldsFunc(s.text, func(r rune) bool { return strings.ContainsRune(" \t\r\n;,=\"'", r) }) {
			if len(part) >= 2*shortSecret {
				all = append(all, secret{text: part, word: s.word})
			}
		}
		if fields := strings.Fields(s.text); len(fields) == 2 && strings.EqualFold(fields[0], "basic") {
			if pair, err := base64.StdEncoding.DecodeString(fields[1]); err == nil {
				all = append(all, secret{text: string(pair)})
				if _, password, found := strings.Cut(string(pair), ":"); found && len(password) >= minSecret {
					all = append(all, secret{text: password})
				}
			}
		}
		if strings.Contains(s.text, " ") { // as forms write it
			all = append(all, secret{text: strings.ReplaceAll(s.text, " ", "+"), word: s.word})
		}
	}
	return all
}

func (s *scrubber) add(secret secret) {
	text := secret.text
	if len(text) < minSecret {
		return
	}
	word := secret.word || len(text) < shortSecret
	s.push(needle{text: []byte(text), folded: len(text) >= foldedSecret, word: word})
	if word {
		for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding, base64.RawStdEncoding, base64.RawURLEncoding} {
			s.push(needle{text: []byte(encoding.EncodeToString([]byte(text))), word: true})
		}
		s.push(needle{text: []byte(hex.EncodeToString([]byte(text))), folded: true, word: true})
		return
	}
	s.push(needle{text: []byte(hex.EncodeToString([]byte(text))), folded: true})
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for shift := range 3 {
			s.push(aligned(encoding, text, shift))
		}
	}
}

// aligned is what the secret looks like within base64 of a longer text in
// which it begins shift bytes after a multiple of three: the digits that its
// own bits alone decide.
func aligned(encoding *base64.Encoding, text string, shift int) needle {
	padded := append(make([]byte, shift), text...)
	bits := len(padded) * 8
	digits := encoding.EncodeToString(padded)
	first, last := (shift*8+5)/6, bits/6
	return needle{
		text: []byte(digits[first:last]), folded: true, lead: shift*8%6 != 0, trail: bits%6 != 0,
	}
}

func (s *scrubber) push(n needle) {
	if n.folded {
		n.text = lower(n.text)
		s.folds = true
	}
	if !slices.ContainsFunc(s.needles, func(other needle) bool {
		return bytes.Equal(other.text, n.text) && other.folded == n.folded && other.word == n.word
	}) {
		s.needles = append(s.needles, n)
	}
}

// body returns the text without the secrets. The text given is not changed.
func (s *scrubber) body(text []byte) []byte {
	if len(s.needles) == 0 || len(text) == 0 {
		return text
	}
	var found [][2]int
	for _, v := range views(text, s.mixed) {
		found = s.search(v, found)
	}
	if len(found) == 0 {
		return text
	}
	slices.SortFunc(found, func(a, b [2]int) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	out := make([]byte, 0, len(text))
	done := 0
	for _, span := range found {
		if span[0] > done || done == 0 {
			out = append(append(out, text[done:max(done, span[0])]...), redacted...)
		}
		done = max(done, span[1])
	}
	return append(out, text[done:]...)
}

func (s *scrubber) text(text string) string { return string(s.body([]byte(text))) }

func (s *scrubber) search(v view, found [][2]int) [][2]int {
	folded := v.bytes
	if s.folds {
		folded = lower(v.bytes)
	}
	for _, n := range s.needles {
		hay := v.bytes
		if n.folded {
			hay = folded
		}
		for from := 0; ; {
			i := bytes.Index(hay[from:], n.text)
			if i < 0 {
				break
			}
			start, end := from+i, from+i+len(n.text)
			from = start + 1
			if n.word && (start > 0 && isWord(hay[start-1]) || end < len(hay) && isWord(hay[end])) {
				continue
			}
			if n.lead && start > 0 && isBase64(hay[start-1]) {
				start--
			}
			if n.trail && end < len(hay) && isBase64(hay[end]) {
				end++
			}
			a, b := v.span(start, end)
			found = append(found, [2]int{a, b})
			from = end
		}
	}
	return found
}

// lower folds ASCII only, so that the length stays.
func lower(text []byte) []byte {
	out := make([]byte, len(text))
	for i, c := range text {
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		out[i] = c
	}
	return out
}

func isWord(c byte) bool {
	return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' || c >= 0x80
}

func isBase64(c byte) bool { return isWord(c) && c < 0x80 || c == '+' || c == '/' || c == '-' }

// droppedHeaders concern the transport, or describe the body as it was on the wire.
var droppedHeaders = []string{
	"Alt-Svc", "Connection", "Content-Encoding", "Content-Length", "Keep-Alive", "Proxy-Authenticate", "Proxy-Connection",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// header returns the reply's headers without the secrets and without those of
// the transport. Trailers are not among them.
func (s *scrubber) header(header http.Header) map[string][]string {
	out := make(map[string][]string, len(header))
	for name, values := range header {
		if slices.Contains(droppedHeaders, name) || !httpguts.ValidHeaderFieldName(name) || s.text(name) != name {
			continue
		}
		kept := make([]string, len(values))
		for i, value := range values {
			kept[i] = s.text(value)
		}
		out[name] = kept
	}
	return out
}
