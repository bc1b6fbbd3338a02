package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// builds are the directories of what was built, by its arguments: linking takes
// longer than most tests. [TestMain] removes them.
var builds = struct {
	sync.Mutex
	directories map[string]string
}{directories: map[string]string{}}

// build builds the platform's programs as they are, but for what the arguments
// of "go build" make different, into a directory where another user can execute
// them. More packages can be named after the flags.
func build(t *testing.T, arguments ...string) (directory string) {
	t.Helper()
	builds.Lock()
	defer builds.Unlock()
	key := strings.Join(arguments, " ")
	if builds.directories[key] != "" {
		return builds.directories[key]
	}
	directory, err := os.MkdirTemp("", "tenon-built") //nolint:usetesting // It is for all tests.
	require.NoError(t, err)
	defer func() {
		if t.Failed() {
			_ = os.RemoveAll(directory)
			return
		}
		builds.directories[key] = directory
	}()
	require.NoError(t, os.Chmod(directory, 0o755)) // For another user.
	arguments = append([]string{"build", "-ldflags=-s -w", "-o", directory + "/"}, arguments...)
	cmd := exec.CommandContext(t.Context(), "go", append(arguments, "./cmd/...")...)
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return directory
}

// copied links what was built into a directory of its own, for a platform whose
// processes find their orders beside their programs.
func copied(t *testing.T, built string) (directory string) {
	t.Helper()
	directory, err := os.MkdirTemp(filepath.Dir(built), "tenon-copied") //nolint:usetesting // Links do not reach another file system.
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(directory) })
	programs, err := os.ReadDir(built)
	require.NoError(t, err)
	for _, program := range programs {
		require.NoError(t, os.Link(filepath.Join(built, program.Name()), filepath.Join(directory, program.Name())))
	}
	return directory
}
