// Package tenon_test holds the test that keeps the walls between packages.
package tenon_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/tenonhq/tenon/"

// floors are the rooms from the ground up: a package imports only from floors
// below its own, or from its own room.
var floors = map[string]int{
	"schema": 0, "plugins": 1, "connectors": 2, "workflows": 3, "activities": 4, "worker": 5, "api": 5, "cmd": 6,
}

// grounds orders the rooms of the ground floor.
var grounds = map[string]int{
	"schema": 0, "schema/crash": 0, "schema/audit": 1, "schema/seal": 1, "schema/token": 1, "schema/flow": 1, "schema/task": 1,
	"schema/pack":  1,
	"schema/place": 2, "schema/bell": 1, "schema/config": 2, "schema/keystore": 2, "schema/codec": 2, "schema/store": 2,
}

// keepers are the only packages that may import what is named, and why.
var keepers = []struct {
	imported string
	allowed  []string
	why      string
}{
	{"github.com/uptrace/bun", []string{"schema/store"}, "the store is the only user of the databases"},
	{"github.com/lib/pq", []string{"schema/store"}, "the store is the only user of the databases"},
	{"modernc.org/sqlite", []string{"schema/store"}, "the store is the only user of the databases"},
	{"golang.org/x/crypto/nacl/box", []string{"schema/seal", "activities/internal/keyring", "schema/keystore"}, "invariant 1: credentials are opened in one package"},
	{"go.temporal.io/server", []string{"worker/engine", "cmd/tenon-engine"}, "a process that links the server costs tens of megabytes"},
	{"github.com/danielgtaylor/huma", []string{"api"}, "HTTP belongs to the API"},
	{"net/http", []string{"api", "plugins/broker", "plugins/sdk", "connectors", "worker/engine", "schema/codec", "activities", "cmd"}, "invariant 4: the broker is the one way out"},
}

type file struct {
	dir, path string
	imports   []string
	test      bool
}

func sources(t *testing.T) []file {
	t.Helper()
	var out []file
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != "." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "data" || name == "bin") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		f := file{dir: filepath.ToSlash(filepath.Dir(path)), path: path, test: strings.HasSuffix(path, "_test.go")}
		for _, i := range parsed.Imports {
			name, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			f.imports = append(f.imports, name)
		}
		out = append(out, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) < 50 {
		t.Fatalf("only %d source files found: the test looks in the wrong place", len(out))
	}
	return out
}

func top(dir string) string { return strings.SplitN(dir, "/", 2)[0] }

// TestFloors keeps imports going downwards.
func TestFloors(t *testing.T) {
	for _, f := range sources(t) {
		from, ok := floors[top(f.dir)]
		if !ok || f.test {
			continue
		}
		for _, name := range f.imports {
			rel, ours := strings.CutPrefix(name, module)
			if !ours || top(rel) == top(f.dir) {
				continue
			}
			if to, ok := floors[top(rel)]; !ok || to >= from {
				t.Errorf("%s imports %s: a package imports only from the floors below it", f.path, rel)
			}
		}
	}
}

// TestGround keeps the rooms of the ground floor in their order.
func TestGround(t *testing.T) {
	room := func(dir string) string {
		parts := strings.SplitN(dir, "/", 3)
		return strings.Join(parts[:min(2, len(parts))], "/")
	}
	for _, f := range sources(t) {
		if top(f.dir) != "schema" || f.test {
			continue
		}
		from, ok := grounds[room(f.dir)]
		if !ok {
			t.Errorf("%s is in a room of the ground floor that the layout does not know", f.path)
		}
		for _, name := range f.imports {
			rel, ours := strings.CutPrefix(name, module)
			if !ours || room(rel) == room(f.dir) {
				continue
			}
			if to, ok := grounds[room(rel)]; !ok || to > from {
				t.Errorf("%s imports %s: it lies above", f.path, rel)
			}
		}
	}
}

// TestKeepers keeps what one room alone may use.
func TestKeepers(t *testing.T) {
	for _, f := range sources(t) {
		if f.test || floors[top(f.dir)] == 0 && top(f.dir) != "schema" {
			continue
		}
		for _, k := range keepers {
			for _, name := range f.imports {
				if name != k.imported && !strings.HasPrefix(name, k.imported+"/") {
					continue
				}
				allowed := false
				for _, dir := range k.allowed {
					allowed = allowed || f.dir == dir || strings.HasPrefix(f.dir, dir+"/")
				}
				if !allowed {
					t.Errorf("%s imports %s: %s", f.path, name, k.why)
				}
			}
		}
	}
}

// TestConnectorsKnowTheSDKOnly keeps connectors strangers (invariant 4).
func TestConnectorsKnowTheSDKOnly(t *testing.T) {
	for _, f := range sources(t) {
		if !strings.HasPrefix(f.dir, "connectors/") || f.test {
			continue
		}
		for _, name := range f.imports {
			if rel, ours := strings.CutPrefix(name, module); ours && rel != "plugins/sdk" && top(rel) != "connectors" {
				t.Errorf("%s imports %s: a connector knows the SDK only", f.path, rel)
			}
		}
	}
}

// TestTestKitsStayInTests keeps test kits out of production.
func TestTestKitsStayInTests(t *testing.T) {
	for _, f := range sources(t) {
		if f.test || strings.HasSuffix(f.dir, "test") {
			continue
		}
		for _, name := range f.imports {
			if rel, ours := strings.CutPrefix(name, module); ours && strings.HasSuffix(rel, "test") {
				t.Errorf("%s imports the test kit %s", f.path, rel)
			}
		}
	}
}

// TestPackagesSayWhatTheyAreFor asks each package for its comment.
func TestPackagesSayWhatTheyAreFor(t *testing.T) {
	said := map[string]bool{}
	for _, f := range sources(t) {
		if f.test || f.dir == "." {
			continue
		}
		text, err := os.ReadFile(f.path)
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), f.path, text, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		said[f.dir] = said[f.dir] || parsed.Doc != nil
	}
	for dir, ok := range said {
		if !ok {
			t.Errorf("package %s does not say what it is for", dir)
		}
	}
}
