package docs

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// root is the repository, from this package.
const root = "../.."

func read(t *testing.T, path ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
	require.NoError(t, err)
	return string(text)
}

// walk calls for each file of the repository's own with the given ending.
func walk(t *testing.T, ending string, do func(path string)) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() && path != root && (strings.HasPrefix(name, ".") || slices.Contains([]string{"data", "bin", "tour"}, name)) {
			return filepath.SkipDir
		}
		if !d.IsDir() && strings.HasSuffix(name, ending) {
			do(path)
		}
		return nil
	}))
}

// required are the modules of go.mod, and whether each is a direct one.
func required(t *testing.T) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^(?:require)?\s+(\S+) v\S+( // indirect)?$`).FindAllStringSubmatch(read(t, "go.mod"), -1) {
		out[m[1]] = m[2] == ""
	}
	require.Greater(t, len(out), 20)
	return out
}

// imported are the modules that our packages import, by what go.mod calls them.
func imported(t *testing.T, modules map[string]bool) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	walk(t, ".go", func(path string) {
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		require.NoError(t, err)
		for _, i := range parsed.Imports {
			name, err := strconv.Unquote(i.Path.Value)
			require.NoError(t, err)
			for module := name; strings.Contains(module, "/"); module = module[:strings.LastIndex(module, "/")] {
				if _, ok := modules[module]; ok {
					out[module] = true
					break
				}
			}
		}
	})
	return out
}

// Every module that we depend on ourselves has a line, with a reason.
func TestDependenciesHaveAReason(t *testing.T) {
	reasons := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (.+) \\|$").FindAllStringSubmatch(read(t, "docs", "dependencies.md"), -1) {
		assert.NotContains(t, reasons, m[1], "twice")
		reasons[m[1]] = m[2]
	}
	modules := required(t)
	wanted := imported(t, modules)
	for module, direct := range modules {
		if direct {
			wanted[module] = true
		}
	}
	for _, module := range slices.Sorted(maps.Keys(wanted)) {
		assert.GreaterOrEqual(t, len(reasons[module]), 10, "docs/dependencies.md must say why %s is there", module)
	}
	for _, module := range slices.Sorted(maps.Keys(reasons)) {
		_, ok := modules[module]
		assert.True(t, ok, "docs/dependencies.md has %s, which go.mod does not", module)
	}
}
