package host

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"

	"github.com/tenonhq/tenon/plugins/internal/wire"
)

// FuzzClean: what a stranger says is bounded and harmless to a terminal.
func FuzzClean(f *testing.F) {
	f.Add("\x1b[31mred\u202e\r\n\x00\xff", 12)
	f.Fuzz(func(t *testing.T, s string, most int) {
		most = max(0, most)
		out := clean(s, most)
		assert.LessOrEqual(t, len(out), most)
		assert.True(t, utf8.ValidString(out))
		assert.False(t, strings.ContainsFunc(out, func(r rune) bool { return unicode.Is(unicode.C, r) }))
	})
}

// FuzzTame: every fault of a stranger is one that a flow can take.
func FuzzTame(f *testing.F) {
	f.Add("communication", int32(404), "title", "detail")
	f.Fuzz(func(t *testing.T, kind string, status int32, title, detail string) {
		out := tame(&wire.Fault{Type: kind, Status: status, Title: title, Detail: detail})
		assert.Contains(t, faultTypes, out.Type)
		assert.True(t, out.Status == 0 || out.Status >= 100 && out.Status <= 599)
		assert.NotEmpty(t, out.Title)
		assert.LessOrEqual(t, len(out.Detail), maxDetail)
	})
}
