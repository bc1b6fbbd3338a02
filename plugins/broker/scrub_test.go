package broker

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// encodings are the ways in which a target may hand a credential back.
func encodings(s string) map[string]string {
	quoted, _ := json.Marshal(s)
	inner := strings.Trim(string(quoted), `"`)
	all := map[string]string{
		"raw": s, "url query": url.QueryEscape(s), "url path": url.PathEscape(s), "json": inner, "html": html.EscapeString(s),
		"hex": hex.EncodeToString([]byte(s)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(s))),
		"lower": string(lower([]byte(s))), "double url": url.QueryEscape(url.QueryEscape(s)),
		"json in json": strings.ReplaceAll(strings.ReplaceAll(inner, `\`, `\\`), `"`, `\"`),
		"url in json":  strings.ReplaceAll(url.QueryEscape(s), "/", `\/`),
	}
	var percent, lowPercent, unicode, js, decimal, hexadecimal strings.Builder
	for _, b := range []byte(s) {
		fmt.Fprintf(&percent, "%%%02X", b)
		fmt.Fprintf(&lowPercent, "%%%02x", b)
		fmt.Fprintf(&js, `\x%02x`, b)
	}
	for _, r := range s {
		fmt.Fprintf(&decimal, "&#%d;", r)
		fmt.Fprintf(&hexadecimal, "&#x%02x;", r)
		fmt.Fprintf(&unicode, `\u%04X`, r)
	}
	all["percent"], all["low percent"], all["unicode"], all["js"] = percent.String(), lowPercent.String(), unicode.String(), js.String()
	all["decimal entities"], all["hex entities"] = decimal.String(), hexadecimal.String()
	for name, e := range map[string]*base64.Encoding{
		"std": base64.StdEncoding, "rawstd": base64.RawStdEncoding, "url": base64.URLEncoding, "rawurl": base64.RawURLEncoding,
	} {
		for _, before := range []string{"", "u", "u:", "user:pass"} {
			for _, after := range []string{"", "\n", "!?"} {
				encoded := e.EncodeToString([]byte(before + s + after))
				all["base64 "+name+before+after] = encoded
				all["base64 escaped "+name+before+after] = url.QueryEscape(encoded)
				all["base64 json "+name+before+after] = strings.ReplaceAll(encoded, "/", `\/`)
			}
		}
	}
	wrapped := base64.StdEncoding.EncodeToString([]byte("prefix " + s))
	all["base64 wrapped"] = wrapped[:7] + "\r\n" + wrapped[7:]
	return all
}

var samples = []string{
	"sk-live-4f9a8c7b6d5e", "p4ssw0", `we"ird\&<sec>/ret%41'+ =`, "ÜnïcödÉ-sécrét-värde", "AAAAAAAAAAAAAAAA", "tok/en+with=signs&more",
	"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", `back\u0041slash%2541percent&amp;entity`, "spaced secret phrase 42",
}

func TestScrubbedInEveryEncoding(t *testing.T) {
	t.Parallel()
	for _, sample := range samples {
		s := newScrubber([]secret{{text: sample}})
		for name, encoded := range encodings(sample) {
			if name == "lower" && len(sample) < foldedSecret {
				continue
			}
			for _, frame := range []string{"%s", `{"echo":"%s","n":1}`, "a=%s&b=2", "<p>%s</p>", "Bearer %s"} {
				before, after, _ := strings.Cut(frame, "%s")
				out := s.text(before + encoded + after)
				assert.Contains(t, out, redacted, "%s of %q", name, sample)
				assert.False(t, recoverable(out, sample), "%s of %q came back: %s", name, sample, out)
				if name == "raw" {
					assert.Equal(t, before+redacted+after, out)
				}
			}
		}
	}
}

// recoverable says whether a connector could still read the secret, by the
// decoders it would use.
func recoverable(text, secret string) bool {
	forms := []string{text}
	for range 3 {
		last := forms[len(forms)-1]
		if s, err := url.QueryUnescape(last); err == nil {
			forms = append(forms, s)
		}
		forms = append(forms, html.UnescapeString(last))
		var s string
		if json.Unmarshal([]byte(`"`+last+`"`), &s) == nil {
			forms = append(forms, s)
		}
	}
	for _, form := range forms {
		if strings.Contains(form, secret) {
			return true
		}
		for _, word := range strings.FieldsFunc(form, func(r rune) bool { return strings.ContainsRune(` "=&<>{}:,`, r) }) {
			for _, e := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
				if plain, err := e.DecodeString(word); err == nil && bytes.Contains(plain, []byte(secret)) {
					return true
				}
			}
			if plain, err := hex.DecodeString(word); err == nil && bytes.Contains(plain, []byte(secret)) {
				return true
			}
		}
	}
	return false
}

func TestScrubbingLeavesTheRest(t *testing.T) {
	t.Parallel()
	s := newScrubber([]secret{{text: "1234"}, {text: "customer", word: true}})
	for text, want := range map[string]string{
		`{"pin":"1234","n":12345,"x":"a1234"}`: `{"pin":"[redacted]","n":12345,"x":"a1234"}`,
		`{"customers":["customer"]}`:           `{"customers":["[redacted]"]}`,
		"MTIzNA==":                             "[redacted]",
		"31323334 3132333435":                  "[redacted] 3132333435",
	} {
		assert.Equal(t, want, s.text(text))
	}
	s = newScrubber([]secret{{text: "tokentoken"}})
	assert.Equal(t, "a [redacted]\n b [redacted], c", s.text("a tokentoken\n b tokentokentokentoken, c"))
	same := []byte("nothing % \\ & here")
	assert.Equal(t, same, s.body(same))
	assert.Nil(t, newScrubber(nil).body(nil))
}

func TestScrubbedHeaders(t *testing.T) {
	t.Parallel()
	s := newScrubber([]secret{{text: "sk-live-4f9a8c7b6d5e"}})
	out := s.header(http.Header{
		"X-Echo": {"Bearer sk-live-4f9a8c7b6d5e", "plain"}, "X-Sk-Live-4f9a8c7b6d5e": {"1"}, "Connection": {"close"},
		"Location": {"https://elsewhere/?t=sk%2Dlive-4f9a8c7b6d5e"}, "Trailer": {"X"}, "Content-Type": {"text/plain"},
	})
	assert.Equal(t, map[string][]string{
		"X-Echo": {"Bearer [redacted]", "plain"}, "Location": {"https://elsewhere/?t=[redacted]"}, "Content-Type": {"text/plain"},
	}, out)
}

func TestScrubbedSavedHeaderValue(t *testing.T) {
	t.Parallel()
	s := newScrubber([]secret{{text: "Basic " + base64.StdEncoding.EncodeToString([]byte("shop:correct horse"))}})
	for _, text := range []string{"correct horse", "shop:correct horse", base64.StdEncoding.EncodeToString([]byte("shop:correct horse"))} {
		assert.Equal(t, redacted, s.text(text))
	}
}

// FuzzScrub plants a secret, encoded, anywhere in any text: it never survives,
// and scrubbing never fails.
func FuzzScrub(f *testing.F) {
	f.Add("before ", "sk-live-4f9a8c7b6d5e", " after", uint8(0))
	f.Add(`{"a":"\u00`, "p4ssw0rd%41", `"}`, uint8(3))
	f.Add("%2", "we\\ird&amp;secret", "&#x4", uint8(5))
	f.Fuzz(func(t *testing.T, before, planted, after string, how uint8) {
		if len(strings.TrimSpace(planted)) < shortSecret || strings.Contains(redacted, planted) {
			return
		}
		encoded := planted
		switch how % 4 {
		case 1:
			encoded = hex.EncodeToString([]byte(planted))
		case 2:
			encoded = url.QueryEscape(planted)
			before, after = "[", "]"
		case 3:
			encoded = base64.StdEncoding.EncodeToString([]byte(planted))
		}
		out := newScrubber([]secret{{text: planted}}).text(before + encoded + after)
		require.NotContains(t, strings.ReplaceAll(out, redacted, "\x00\x00"), encoded)
	})
}

func BenchmarkScrub(b *testing.B) {
	body := bytes.Repeat([]byte(`{"number":"B-000001","total_cents":3750,"note":"oak \"planed\" 5 %"},`), 150)
	s := newScrubber([]secret{{text: "sk-live-4f9a8c7b6d5e4f9a8c7b6d5e"}})
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		s.body(body)
	}
}
