package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
)

// shapes are what of a secret is looked for: itself, its halves, and what of
// its encodings does not depend on what stands beside it.
func shapes(secret string) map[string][]byte {
	half := len(secret) / 2
	out := map[string][]byte{
		"raw": []byte(secret), "first half": []byte(secret[:half]), "second half": []byte(secret[half:]),
		"hex": []byte(hex.EncodeToString([]byte(secret))),
	}
	for shift := range 3 {
		text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + secret))
		out[fmt.Sprintf("base64/%d", shift)] = []byte(text[4 : len(text)-4])
	}
	return out
}

// search reads all of a process's memory and names the shapes that it holds. It
// tells whether the process was there until the end.
func search(t *testing.T, pid int, wanted map[string][]byte) (found map[string]int, there bool) {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil && hasEnded(pid) {
		return nil, false
	}
	require.NoError(t, err)
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil && hasEnded(pid) {
		return nil, false
	}
	require.NoError(t, err, "the memory of a process that is not dumpable is read by root, with CAP_SYS_PTRACE")
	defer func() { _ = mem.Close() }()
	const overlap = 256
	found = map[string]int{}
	read := int64(0)
	buffer := make([]byte, 1<<20+overlap)
	for line := range strings.Lines(string(maps)) {
		if strings.Contains(line, "[v") {
			continue // The kernel's own.
		}
		var from, to int64
		var rights string
		_, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &rights)
		require.NoError(t, err, line)
		if rights[0] != 'r' {
			continue
		}
		for at := from; at < to; at += 1 << 20 {
			n, err := mem.ReadAt(buffer[:min(int64(len(buffer)), to-at)], at)
			if err != nil && err != io.EOF && n == 0 {
				continue // A page that was given back meanwhile.
			}
			read += int64(n)
			for shape, text := range wanted {
				found[shape] += bytes.Count(buffer[:n], text)
			}
		}
	}
	for shape, n := range found {
		if n == 0 {
			delete(found, shape)
		}
	}
	if hasEnded(pid) {
		return found, false
	}
	require.Greater(t, read, int64(1<<20), "the memory was read")
	return found, true
}

// hasEnded tells whether a process has no memory any more, reaped or not.
func hasEnded(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return os.IsNotExist(err) || errors.Is(err, syscall.ESRCH)
	}
	return strings.HasPrefix(string(stat[bytes.LastIndexByte(stat, ')')+1:]), " Z")
}

// holding are the processes of the platform whose memory has a shape of what is
// wanted, without the cell workers: they hold secrets for the time of a call.
func (p *platform) holding(t *testing.T, wanted map[string][]byte) map[string]map[string]int {
	t.Helper()
	out, seen := map[string]map[string]int{}, map[string]bool{}
	for pid, name := range p.processes(t) {
		if name == "tenon-cell" {
			seen[name] = true
			continue
		}
		// An idle connector or evaluator may end meanwhile; what was found in it counts.
		found, there := search(t, pid, wanted)
		seen[name] = seen[name] || there
		if len(found) > 0 {
			out[name] = found
		}
	}
	for _, name := range []string{"up", "api", "host", "tenon-engine", "tenon-cell", "tenon-starter", "tenon-launcher", "http", "tenon-eval"} {
		require.True(t, seen[name], "%s was searched: %v", name, seen)
	}
	return out
}

// asRoot runs the test as root, of a user namespace where the user is not: only
// root reads the memory of processes that made themselves undumpable.
func asRoot(t *testing.T) bool {
	t.Helper()
	if os.Geteuid() == 0 {
		return true
	}
	out, err := exec.CommandContext(t.Context(), "unshare", "--user", "--map-root-user", os.Args[0], "-test.run=^"+t.Name()+"$").CombinedOutput()
	require.NoError(t, err, "as root of a user namespace: %s", out)
	return false
}

// TestMemory: Invariant 1. While a credential is entered, used and after,
// no process but the cell's worker ever holds one that the client sealed; one
// that was entered in clear was in the API alone, and is wiped there.
func TestMemory(t *testing.T) {
	t.Parallel()
	if !asRoot(t) {
		return
	}
	p := newPlatform(t)
	p.start(t)

	// The search finds what is there: the test's own memory holds this one.
	own := "canary-" + hex.EncodeToString([]byte(t.Name()+time.Now().String()))
	held, _ := search(t, os.Getpid(), shapes(own))
	require.Contains(t, held, "raw")

	flows := map[string]string{"now": billing("\n  - look: {set: {a: '${ 1 + 1 }'}}")}
	use := func(s *shop, way string) (during, after map[string]map[string]int) {
		require.NoError(t, s.books.Control(ledger.Control{Count: 1, StallMS: 2000, When: ledger.Before}))
		s.accepted(t, "now", way)
		s.stalled(t, 1)
		during = p.holding(t, shapes(s.books.Token()))
		s.reach(t, 30*time.Second, "completed", 1)
		return during, p.holding(t, shapes(s.books.Token()))
	}
	during, after := use(newShop(t, p, ledger.Keys, flows), "sealed")
	require.Empty(t, during, "sealed by the client, during a call")
	require.Empty(t, after, "sealed by the client, after it")

	during, after = use(openShop(t, p, ledger.Keys, flows, (*shop).clearCredential), "clear")
	require.Empty(t, during, "entered in clear, during a call")
	require.Empty(t, after, "entered in clear, after it")
}
