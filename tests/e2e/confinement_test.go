package e2e

import (
	"encoding/json"
	"errors"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/tenonhq/tenon/plugins/host"
	"github.com/tenonhq/tenon/plugins/host/enclosure"
	"github.com/tenonhq/tenon/plugins/host/probe"
)

// probed builds the platform's programs as they are, but for the probe in each.
func probed(t *testing.T) string {
	t.Helper()
	return build(t, "-tags=probe", "./tests/e2e/testdata/stranger")
}

// household is all that the processes of a platform have.
type household struct {
	p *platform
	// files, by whose they are.
	files map[string][]string
	// pids of each kind; the cell and the launcher are the first organization's.
	pids map[string]int
	// outside is a process and a file of the same user that are not the platform's.
	outsider int
	// sockets are all that lie below the data directory, and an abstract one.
	sockets []string
	// doors are what can be connected to, by name, as a probe answers that it
	// worked; and listening.
	doors map[string][]string
}

// TestConfinement attacks from inside each kind of process, as the user that the
// tests run as and, under root, as one without rights: files, memory,
// descriptors, sockets and keys of every other.
func TestConfinement(t *testing.T) {
	t.Parallel()
	bin := probed(t)
	t.Run("this user", func(t *testing.T) { confinement(t, bin, os.Geteuid()) })
	if os.Geteuid() == 0 {
		// One that the machine has no name for, as container platforms choose them. Not
		// the one of the attacks in plugins/host, which use up what a user may have.
		const nameless = 65123
		t.Run("a user without rights", func(t *testing.T) { confinement(t, bin, nameless) })
	}
}

func confinement(t *testing.T, bin string, uid int) {
	t.Helper()
	h := settle(t, bin, uid)
	for kind, may := range map[string][]string{
		"api":    {"api", "control", "keystore", "cell", "other cell"},
		"host":   {"host", "control", "keystore", "cell", "other cell"},
		"engine": {"engine"},
		// What is not the platform's at all it sees, as it must what cells need; it
		// changes none of it.
		"starter":  {"cell", "other cell", "outside"},
		"cell":     {"cell"},
		"launcher": {},
		// Who starts all of them is to them what init is: it has the files of its
		// user, and is over the namespaces that they make. Into the memory of those
		// that hold keys of all organizations it does not see.
		"up": {"api", "host", "control", "keystore", "engine", "cell", "other cell", "nobody", "outside"},
	} {
		t.Run(kind, func(t *testing.T) {
			a := h.ask(t, h.pids[kind], h.plan(kind))
			for _, what := range a.Worked {
				verb, object, _ := strings.Cut(what, ":")
				assert.True(t, h.granted(verb, object, kind, may), "from inside %s: %s", kind, what)
			}
			for _, name := range may {
				for _, path := range h.files[name] {
					assert.Contains(t, a.Worked, "read:"+path, "%s needs what is its own", kind)
				}
			}
			needs, _ := h.open(kind)
			for _, name := range needs {
				require.Contains(t, h.doors, name)
				for _, door := range h.doors[name] {
					assert.Contains(t, a.Worked, door, "%s needs %s", kind, name)
				}
			}
			assert.Equal(t, "1", a.Capabilities["NoNewPrivs"])
			for set, bits := range a.Capabilities {
				if n, err := strconv.ParseUint(bits, 16, 64); set != "NoNewPrivs" && set != "CapBnd" {
					require.NoError(t, err)
					assert.Zero(t, n&^keeps(kind, uid), "%s of %s", set, kind)
				}
			}
		})
	}
	for kind, may := range map[string][]string{
		"evaluator": nil,
		// Its directory is there, so the socket in it is, too; it serves one and
		// connects to none.
		"connector": {"read:" + known},
	} {
		t.Run(kind, func(t *testing.T) {
			assert.Equal(t, may, h.stranger(t, bin, kind).Worked, "from inside the sandbox")
		})
	}
}

// keeps are the capabilities that a kind may keep: under root, those by which
// strangers get user ids of their own, in the process that starts them.
func keeps(kind string, uid int) uint64 {
	if uid != 0 || kind != "starter" && kind != "launcher" && kind != "up" {
		return 0
	}
	return 1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID | 1<<unix.CAP_SETFCAP | 1<<unix.CAP_SETPCAP | 1<<unix.CAP_CHOWN | 1<<unix.CAP_KILL
}

// settle starts a platform with two organizations and finds what it has.
func settle(t *testing.T, bin string, uid int) *household {
	t.Helper()
	p := newPlatform(t, "TENON_CELL_IDLE=0")
	base, err := os.MkdirTemp("", "tenon-confined") //nolint:usetesting // A test's own is closed to other users.
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	p.data, p.bin = filepath.Join(base, "data"), bin
	secret := filepath.Join(base, "outsider")
	require.NoError(t, os.WriteFile(secret, []byte("of the same user"), 0o600))
	asleep := exec.CommandContext(t.Context(), "sleep", "3600")
	if uid != os.Geteuid() {
		p.user = &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}
		asleep.SysProcAttr = &syscall.SysProcAttr{Credential: p.user}
		require.NoError(t, os.Chown(base, uid, uid))
		require.NoError(t, os.Chown(secret, uid, uid))
	}
	require.NoError(t, asleep.Start())
	t.Cleanup(func() { _ = asleep.Process.Kill(); _ = asleep.Wait() })
	p.start(t)
	first, key := p.organization(t, "First")
	p.busy(t, key)
	second, _ := p.organization(t, "Second")
	in := func(parts ...string) string { return filepath.Join(append([]string{p.data}, parts...)...) }
	h := &household{p: p, outsider: asleep.Process.Pid, pids: map[string]int{}, files: map[string][]string{
		"api": {in("keys", "api.key")}, "host": {in("keys", "root.key"), in("keys", "engine-token.key"), in("keys", "checkpoint.key")},
		"control": {in("control", "control.db")}, "keystore": {in("keystore")},
		"engine": {in("engine")}, "cell": databasesOf(t, in("cells", first)), "other cell": databasesOf(t, in("cells", second)),
		"nobody": {in("admin.key"), in("logs", "tenon.log")}, "outside": {secret},
	}}
	eventually(t, 20*time.Second, "everything runs", func() bool {
		h.find(t, first)
		for _, kind := range []string{"up", "api", "host", "engine", "starter", "cell", "other cell", "launcher", "other launcher", "connector", "evaluator"} {
			if h.pids[kind] == 0 {
				return false
			}
		}
		// A cell confines itself before it says so.
		return strings.Count(p.logs(), "cell is awake") == 2
	})
	h.settleDoors(t, uid, in("run", "bell.sock"), in("run", "cells", first), in("run", "cells", second))
	return h
}

// settleDoors finds all sockets that the platform has, and adds some.
func (h *household) settleDoors(t *testing.T, uid int, bell, cell, otherCell string) {
	t.Helper()
	// A cell takes a connector's socket away as soon as it is connected to it. These
	// are in its place, for as long as the test.
	own, other := filepath.Join(cell, "s"), filepath.Join(otherCell, "s")
	for _, path := range []string{own, other} {
		serve(t, "unix", path)
		require.NoError(t, os.Chown(path, uid, uid))
	}
	eventually(t, 20*time.Second, "no socket below the data directory but these", func() bool {
		h.sockets = socketsBelow(t, h.p.data)
		return slices.Equal(h.sockets, slices.Sorted(slices.Values([]string{bell, own, other})))
	})
	h.doors = map[string][]string{
		"bell": {"unixgram:" + bell}, "connector": {"unix:" + own}, "other connector": {"unix:" + other},
		"connector by its cell's root": {"unix:/proc/" + strconv.Itoa(h.pids["cell"]) + "/root" + own},
		"API":                          {"tcp:" + h.p.api}, "engine": {"tcp:" + h.p.engine}, "UI": {"tcp:" + h.p.ui},
		"outside":  {"tcp:" + serve(t, "tcp", "127.0.0.1:0")},
		"services": nil, "abstract": nil, "listening": nil, // As far as they are found, or can be closed.
	}
	for at, name := range listeners(t, h.p.processes(t)) {
		if at != h.p.api && at != h.p.engine && at != h.p.ui {
			require.Equal(t, "tenon-engine", name, "it listens on %s", at)
			h.doors["services"] = append(h.doors["services"], "tcp:"+at)
		}
	}
	if os.Geteuid() == 0 { // Nobody else sees whose a listener is.
		require.NotEmpty(t, h.doors["services"])
	}
	if enclosure.Version() >= 6 {
		abstract := serve(t, "unix", "@tenon-confinement-"+strconv.Itoa(os.Getpid())+"-"+strconv.Itoa(uid))
		h.sockets = append(h.sockets, abstract)
		h.doors["abstract"] = []string{"unix:" + abstract}
	}
	if enclosure.Version() >= 4 {
		h.doors["listening"] = []string{"listen:127.0.0.1:0"}
	}
}

// serve listens for as long as the test.
func serve(t *testing.T, network, address string) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), network, address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

// socketsBelow are the sockets in a directory, in order. Others make and remove
// files there meanwhile.
func socketsBelow(t *testing.T, directory string) []string {
	t.Helper()
	var out []string
	require.NoError(t, filepath.WalkDir(directory, func(path string, entry os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err == nil && entry.Type() == os.ModeSocket {
			out = append(out, path)
		}
		return err
	}))
	return out
}

// busy has the organization's evaluator and connector at work for as long as the
// test: they end when nobody uses them.
func (p *platform) busy(t *testing.T, key string) {
	t.Helper()
	p.must(t, key, "", http.MethodPost, "/v1/namespaces", 201, map[string]any{"name": "prod"}, nil)
	p.must(t, key, "prod", http.MethodPost, "/v1/flows", 201, []byte(`
document: {dsl: '1.0.3', namespace: e2e, name: busy, version: '1.0.0'}
do:
  - sum: {set: {n: '${ 1 + 1 }'}}
  - call: {call: http, with: {method: get, endpoint: 'https://127.0.0.1:1/'}}
`), nil)
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		every := time.NewTicker(2 * time.Second)
		defer every.Stop()
		for {
			if req, err := http.NewRequest(http.MethodPost, "http://"+p.api+"/v1/flows/busy/runs", strings.NewReader("{}")); err == nil {
				req.Header.Set("Content-Type", "application/json")
				req.Header.Set("Authorization", "Bearer "+key)
				req.Header.Set("X-Namespace", "prod")
				_, _, _ = send(req)
			}
			select {
			case <-end:
				return
			case <-every.C:
			}
		}
	}()
	t.Cleanup(func() { close(end); <-ended })
}

// databasesOf are the files of a cell's databases.
func databasesOf(t *testing.T, directory string) []string {
	t.Helper()
	var out []string
	require.NoError(t, filepath.WalkDir(directory, func(path string, _ os.DirEntry, err error) error {
		if strings.HasSuffix(path, ".db") {
			out = append(out, path)
		}
		return err
	}))
	require.Len(t, out, 2)
	return out
}

// find tells the processes of the platform apart.
func (h *household) find(t *testing.T, organization string) {
	t.Helper()
	for pid, name := range h.p.processes(t) {
		switch name {
		case "api", "host", "up":
			h.pids[name] = pid
		case "tenon-engine":
			h.pids["engine"] = pid
		case "tenon-starter":
			h.pids["starter"] = pid
		case "tenon-cell":
			of := "other "
			if strings.Contains(cmdline(pid), organization) {
				of = ""
			}
			h.pids[of+"cell"] = pid
			for child, name := range h.p.below(t, pid) {
				switch {
				case name == "tenon-launcher":
					h.pids[of+"launcher"] = child
				case name == "http" && of == "":
					h.pids["connector"] = child
				case name == "tenon-eval" && of == "":
					h.pids["evaluator"] = child
				}
			}
		}
	}
}

// cmdline is empty when the process is gone.
func cmdline(pid int) string {
	text, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
	return string(text)
}

// plan has a kind try everything that is not the trying process.
func (h *household) plan(kind string) probe.Plan {
	plan := probe.Plan{
		PIDs: []int{h.outsider, os.Getpid()}, Execute: []string{"/bin/true", filepath.Join(h.p.bin, "tenon-cell")},
		Sockets: slices.Clone(h.sockets),
	}
	for _, doors := range h.doors {
		for _, door := range doors {
			switch verb, address, _ := strings.Cut(door, ":"); verb {
			case "tcp":
				plan.Connect = append(plan.Connect, address)
			case "listen":
				plan.Listen = append(plan.Listen, address)
			}
		}
	}
	for name, pid := range h.pids {
		if name != kind {
			plan.PIDs = append(plan.PIDs, pid)
		}
	}
	for _, paths := range h.files {
		plan.Read = append(plan.Read, paths...)
	}
	slices.Sort(plan.Read)
	plan.Write = append(slices.Clone(plan.Read), filepath.Join(h.p.bin, "tenon"), "/etc/hostname")
	return plan
}

// writes are the files that a kind also changes.
var writes = map[string][]string{
	"api": {"control", "cell", "other cell"}, "host": {"control", "cell", "other cell"}, "starter": {"cell", "other cell"}, "cell": {"cell"},
	"up": {"api", "host", "control", "keystore", "engine", "cell", "other cell", "nobody", "outside"},
}

// opens are the doors that a kind connects to: what it needs, and what nothing
// closes to it. Landlock knows no sockets by path before Linux 7.0, so who sees
// one's place connects to it: the bell makes the host look for work, and no more,
// and a connector asks for a certificate. TCP is open to all but strangers; what
// listens there asks for a token.
var opens = map[string]struct{ needs, besides []string }{
	"api":    {[]string{"bell"}, []string{"connector", "other connector", "API", "engine", "services", "UI", "outside", "listening"}},
	"host":   {[]string{"engine"}, []string{"bell", "connector", "other connector", "API", "services", "UI", "outside"}},
	"engine": {[]string{"API", "engine", "services"}, []string{"bell", "connector", "other connector", "UI", "outside", "listening"}},
	// It does nothing of this, but its rules are its cells', too, and those connect.
	"starter": {nil, []string{"connector", "other connector", "API", "engine", "services", "UI", "outside", "listening"}},
	// A flow calls any system.
	"cell":     {[]string{"connector", "engine", "outside"}, []string{"other connector", "API", "services", "UI"}},
	"launcher": {nil, []string{"connector", "API", "engine", "services", "UI", "outside", "listening"}},
}

// open names the doors that a kind needs, and those that are open to it besides.
func (h *household) open(kind string) (needs, besides []string) {
	if kind == "up" {
		// It is under no rules: that it comes through each shows that each is a door.
		return slices.Collect(maps.Keys(h.doors)), nil
	}
	return opens[kind].needs, opens[kind].besides
}

// granted tells whether what worked belongs to the kind.
func (h *household) granted(verb, object, kind string, may []string) bool {
	// The same file through another process's root is the same file.
	if rest, ok := strings.CutPrefix(object, "/proc/"); ok {
		_, object, _ = strings.Cut(rest, "/root")
	}
	switch verb {
	case "read", "write":
		for _, name := range may {
			if slices.Contains(h.files[name], object) && (verb == "read" || slices.Contains(writes[kind], name)) {
				return true
			}
		}
		// Root's own, for who has no rules of Landlock's.
		return kind == "up" && os.Geteuid() == 0 && h.p.user == nil && object == "/etc/hostname"
	case "unix", "unixgram", "unixpacket", "tcp", "listen":
		needs, besides := h.open(kind)
		return slices.ContainsFunc(slices.Concat(needs, besides), func(name string) bool {
			return slices.Contains(h.doors[name], verb+":"+object)
		})
	case "execute", "environ", "maps", "mem", "fd", "ptrace", "process_vm_readv", "pidfd_getfd":
		// A starter's children, and a launcher's, are in its hands.
		children := h.is(object, "connector", "evaluator")
		return kind == "launcher" && children ||
			kind == "up" && (verb == "execute" || children || h.is(object, "starter", "cell", "other cell", "launcher", "other launcher", "outsider")) ||
			kind == "starter" && (verb == "execute" || children || h.is(object, "cell", "other cell", "launcher", "other launcher"))
	}
	return false
}

func (h *household) is(object string, kinds ...string) bool {
	pid, err := strconv.Atoi(object)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(kinds, func(kind string) bool { return h.pids[kind] == pid || kind == "outsider" && h.outsider == pid })
}

// ask has the process try.
func (h *household) ask(t *testing.T, pid int, plan probe.Plan) probe.Answer {
	t.Helper()
	c, err := net.DialTimeout("unix", probe.Address(pid), 5*time.Second)
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	require.NoError(t, c.SetDeadline(time.Now().Add(4*time.Minute)))
	require.NoError(t, json.NewEncoder(c).Encode(plan))
	var a probe.Answer
	require.NoError(t, json.NewDecoder(c).Decode(&a))
	require.NotEmpty(t, a.Capabilities)
	return a
}

// A connector's directory, as it sees it, with what is put there.
const (
	known = "/s/known"
	near  = "/s/near"
)

// stranger has a program in the sandbox of a connector or an evaluator try: it
// is started as a cell starts those.
func (h *household) stranger(t *testing.T, bin, kind string) probe.Answer {
	t.Helper()
	sockets := t.TempDir()
	require.NoError(t, os.Chown(sockets, os.Geteuid(), os.Getegid()))
	require.NoError(t, os.WriteFile(filepath.Join(sockets, filepath.Base(known)), []byte("its own"), 0o644))
	// It is another user's, and open to all: it is for the sandbox to close it.
	require.NoError(t, os.Chmod(serve(t, "unix", filepath.Join(sockets, filepath.Base(near))), 0o777))
	l, err := host.StartLauncher(t.Context(), filepath.Join(bin, "tenon-launcher"), sockets)
	require.NoError(t, err)
	defer l.Close()
	require.Empty(t, l.Missing())
	program, err := os.Open(filepath.Join(bin, "stranger"))
	require.NoError(t, err)
	defer func() { _ = program.Close() }()
	in, theirs, err := os.Pipe()
	require.NoError(t, err)
	out, answer, err := os.Pipe()
	require.NoError(t, err)
	defer func() { _ = out.Close(); _ = theirs.Close() }()
	spec := host.Spec{Executable: program, Args: []string{"stranger"}, Stdin: in, Stdout: answer}
	if kind == "connector" {
		spec.SocketDir = sockets
	}
	_, err = l.Start(t.Context(), spec)
	require.NoError(t, err)
	require.NoError(t, in.Close())
	require.NoError(t, answer.Close())
	plan := h.plan(kind)
	plan.Read, plan.Sockets = append(plan.Read, known), append(plan.Sockets, near)
	require.NoError(t, json.NewEncoder(theirs).Encode(plan))
	var a probe.Answer
	require.NoError(t, json.NewDecoder(out).Decode(&a))
	return a
}

// TestAStarterEndsWithItsHostAndItsCellsWithIt kills the starter with -9: no
// cell outlives it, the host ends and is started again, and the cells with it.
func TestAStarterEndsWithItsHostAndItsCellsWithIt(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, "TENON_CELL_IDLE=0")
	p.start(t)
	p.organization(t, "Shop")
	eventually(t, 20*time.Second, "the cell is awake", func() bool { return strings.Contains(p.logs(), "cell is awake") })
	mine := p.below(t, p.pid(t, "host"))
	require.NoError(t, syscall.Kill(p.pid(t, "tenon-starter"), syscall.SIGKILL))
	p.gone(t, mine)
	eventually(t, 20*time.Second, "a new cell", func() bool {
		for pid, name := range p.processes(t) {
			if _, old := mine[pid]; name == "tenon-cell" && !old {
				return true
			}
		}
		return false
	})
	require.Contains(t, p.logs(), "the starter of the cells ended")
}
