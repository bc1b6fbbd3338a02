package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// The versions that are tested, and that installations are told to use.
const (
	temporalModule = "github.com/temporalio/cli"
	temporalAt     = "v1.5.1"
	tctlModule     = "github.com/temporalio/tctl"
	tctlAt         = "v1.18.0"
)

// buildLimit bounds the first build of both tools on a slow machine.
const buildLimit = 45 * time.Minute

// tools are the paths of the two programs.
type tools struct{ temporal, tctl string }

// buildTools builds what the cache lacks. A lock keeps two test runs from
// building the same thing at once.
func buildTools(ctx context.Context) (t tools, err error) {
	ctx, cancel := context.WithTimeout(ctx, buildLimit)
	defer cancel()
	cache, err := os.UserCacheDir()
	if err != nil {
		return tools{}, err
	}
	directory := filepath.Join(cache, "tenon", "tools")
	if err := os.MkdirAll(directory, 0o755); err != nil {
		return tools{}, err
	}
	lock, err := os.OpenFile(filepath.Join(directory, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return tools{}, err
	}
	defer func() { _ = lock.Close() }()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return tools{}, err
	}
	if t.temporal, err = build(ctx, directory, "temporal", temporalModule, temporalAt, "./cmd/temporal"); err != nil {
		return tools{}, err
	}
	t.tctl, err = build(ctx, directory, "tctl", tctlModule, tctlAt, "./cmd/tctl")
	return t, err
}

// build makes one program from the module's own source and its own pinned
// dependencies: tctl cannot be installed by `go install`, because its versions
// are not listed and its go.mod counts as the main module's only there.
func build(ctx context.Context, directory, name, module, version, pkg string) (string, error) {
	program := filepath.Join(directory, name+"-"+version)
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	fmt.Fprintf(os.Stderr, "building %s %s, once: this takes minutes\n", name, version)
	work, err := os.MkdirTemp("", "tenon-tools")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(work) }()
	out, err := command(ctx, work, "go", "mod", "download", "-json", module+"@"+version).Output()
	if err != nil {
		return "", fmt.Errorf("%s cannot be downloaded: %w", name, err)
	}
	var downloaded struct{ Dir string }
	if err := json.Unmarshal(out, &downloaded); err != nil {
		return "", err
	}
	source := filepath.Join(work, "source")
	if err := copyTree(source, downloaded.Dir); err != nil {
		return "", err
	}
	draft := filepath.Join(work, name)
	if out, err := command(ctx, source, "go", "build", "-trimpath", "-o", draft, pkg).CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s cannot be built: %w\n%s", name, err, out)
	}
	// The cache may be another file system than the temporary directory.
	text, err := os.ReadFile(draft)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(program+".new", text, 0o755); err != nil {
		return "", err
	}
	return program, os.Rename(program+".new", program)
}

// command runs in a directory, with a module of its own: not ours, and no
// workspace's.
func command(ctx context.Context, directory, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = directory
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-buildvcs=false")
	return cmd
}

// copyTree copies a module out of the cache, where everything is read-only.
func copyTree(to, from string) error {
	source := os.DirFS(from)
	return fs.WalkDir(source, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, path)
		if entry.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		text, err := fs.ReadFile(source, path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, text, 0o644)
	})
}

// environment is the caller's without any setting of the tools.
func environment(settings map[string]string) []string {
	var env []string
	for _, pair := range os.Environ() {
		if !strings.HasPrefix(pair, "TEMPORAL_") {
			env = append(env, pair)
		}
	}
	for name, value := range settings {
		env = append(env, name+"="+value)
	}
	return env
}
