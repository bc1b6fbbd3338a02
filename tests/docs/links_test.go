package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pages are the pages of the documentation.
func pages(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		require.NoError(t, err)
		for _, path := range found {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			out[path] = string(text)
		}
	}
	require.Greater(t, len(out), 5)
	return out
}

// Each test that the documentation names is there.
func TestNamedTestsExist(t *testing.T) {
	known := map[string]bool{}
	walk(t, "_test.go", func(path string) {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllStringSubmatch(string(text), -1) {
			known[m[1]] = true
		}
	})
	named := 0
	for path, text := range pages(t) {
		for _, m := range regexp.MustCompile("`((?:Test|Fuzz)[A-Z0-9]\\w*)`").FindAllStringSubmatch(text, -1) {
			assert.True(t, known[m[1]], "%s names %s, which is not there", path, m[1])
			named++
		}
	}
	assert.Greater(t, named, 50)
}

// anchor is the address of a heading.
func anchor(heading string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}

// Each link leads to a page, and to a heading of it.
func TestLinksLeadSomewhere(t *testing.T) {
	for path, text := range pages(t) {
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			to, heading, _ := strings.Cut(m[1], "#")
			target := path
			if to != "" {
				target = filepath.Join(filepath.Dir(path), to)
			}
			linked, err := os.ReadFile(target)
			if !assert.NoError(t, err, "%s links %s", path, m[1]) || heading == "" { //nolint:testifylint // Each link is told.
				continue
			}
			found := false
			for _, h := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(string(linked), -1) {
				found = found || anchor(h[1]) == heading
			}
			assert.True(t, found, "%s links %s", path, m[1])
		}
	}
}
