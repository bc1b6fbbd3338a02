package confine

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/elastic/go-seccomp-bpf"
	"github.com/landlock-lsm/go-landlock/landlock"
	landlocksys "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"

	"github.com/tenonhq/tenon/plugins/host/enclosure"
	"github.com/tenonhq/tenon/schema"
)

// Policy is what a process keeps. Paths that do not exist are passed over.
type Policy struct {
	// ReadOnly are files and directories that it reads.
	ReadOnly []string
	// ReadWrite are files and directories that it changes, too. Nothing in
	// them can be executed.
	ReadWrite []string
	// Execute are programs, or directories of them, that it starts.
	Execute []string
	// Connect are the TCP ports that it connects to: nil for any, empty for none.
	Connect []uint16
	// Bind are the TCP ports that it listens on: nil for any, empty for none.
	Bind []uint16
	// Keep are the capabilities that it keeps, of those it has.
	Keep []int
	// Children: what it has started stands outside of its rules, and must end
	// with it. The kernel takes the signal at its death for one of its own, so
	// signals to others are not closed to it.
	Children bool
}

// Report says what could not be had.
type Report struct {
	// Missing are the protections that this kernel does not know, in words for
	// an operator; empty when the policy holds in full.
	Missing []string
}

// The rights of Landlock, by what they are for. Neither reading nor writing
// includes executing; devices are not made.
const (
	readFile  = landlock.AccessFSSet(landlocksys.AccessFSReadFile)
	readDir   = readFile | landlock.AccessFSSet(landlocksys.AccessFSReadDir)
	execute   = landlock.AccessFSSet(landlocksys.AccessFSExecute)
	writeFile = landlock.AccessFSSet(landlocksys.AccessFSWriteFile | landlocksys.AccessFSTruncate)
	writeDir  = writeFile | landlock.AccessFSSet(landlocksys.AccessFSRemoveDir|landlocksys.AccessFSRemoveFile|landlocksys.AccessFSMakeDir|
		landlocksys.AccessFSMakeReg|landlocksys.AccessFSMakeSock|landlocksys.AccessFSMakeFifo|landlocksys.AccessFSMakeSym|landlocksys.AccessFSRefer)
)

// The Landlock versions of the kernel from which a protection is there.
const (
	abiFiles    = 1
	abiRefer    = 2
	abiTruncate = 3
	abiPorts    = 4
	abiScope    = 6
)

// system is what every process reads: certificates, names, time zones, and the
// kernel's tables about itself. Other processes' entries in /proc are closed to
// it as soon as those have called [Hide].
func system() []string {
	places := []string{
		"/etc", "/usr/share", "/usr/lib", "/lib", "/lib64", "/proc", "/sys/fs/cgroup", "/sys/kernel/mm", "/dev/null", "/dev/urandom", "/dev/random",
	}
	// A system may keep the file elsewhere, and make it anew at any time.
	if names, err := filepath.EvalSymlinks("/etc/resolv.conf"); err == nil {
		places = append(places, filepath.Dir(names))
	}
	return places
}

// Hide makes the process not dumpable: another of the same user can neither
// read its memory nor trace it, and a crash writes no core with keys in it.
// It costs nothing and is called first of all, before any key is read.
func Hide() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return schema.Errorf(schema.CodeUnavailable, "the process could not be made undumpable: %w", err)
	}
	return nil
}

// Apply is [Restrict] that tells an operator at the start what is missing.
func Apply(p Policy, logger *slog.Logger) error {
	report, err := Restrict(p)
	if err == nil && len(report.Missing) > 0 {
		logger.Warn("this machine does not confine the process in full", "missing", strings.Join(report.Missing, "; "))
	}
	return err
}

// Restrict restricts every thread of the process, and its later children, for
// good. What the kernel does not know is left out and reported.
func Restrict(p Policy) (Report, error) {
	if err := Hide(); err != nil {
		return Report{}, err
	}
	report := Report{Missing: Missing()}
	if err := landlock.V5.BestEffort().RestrictPaths(p.rules()...); err != nil {
		return report, schema.Errorf(schema.CodeUnavailable, "the process could not be confined to its files: %w", err)
	}
	if err := p.restrictPorts(); err != nil {
		return report, schema.Errorf(schema.CodeUnavailable, "the process could not be confined to its ports: %w", err)
	}
	if err := p.restrictScope(); err != nil {
		return report, schema.Errorf(schema.CodeUnavailable, "the process could not be kept to itself: %w", err)
	}
	// Last: root's rights over files and processes end here.
	if err := enclosure.Drop(p.Keep...); err != nil {
		return report, schema.Errorf(schema.CodeUnavailable, "the process could not give up its capabilities: %w", err)
	}
	return report, nil
}

// restrictScope closes what lies outside of the process's rules: abstract
// sockets, and being signalled.
func (p Policy) restrictScope() error {
	scope := landlock.ScopedSet(landlocksys.ScopeAbstractUnixSocket | landlocksys.ScopeSignal)
	if p.Children {
		scope &^= landlock.ScopedSet(landlocksys.ScopeSignal)
	}
	config, err := landlock.NewConfig(scope)
	if err != nil {
		return err
	}
	return config.BestEffort().RestrictScoped()
}

// Missing are the protections that this kernel does not know.
func Missing() []string {
	abi := enclosure.Version()
	var missing []string
	for _, part := range []struct {
		since int
		what  string
	}{
		{abiFiles, "landlock: files of other processes stay open to this user's processes"},
		{abiTruncate, "landlock: files can be cut short"},
		{abiPorts, "landlock: TCP ports are not limited"},
		{abiScope, "landlock: abstract sockets and signals are not limited"},
	} {
		if abi < part.since {
			missing = append(missing, part.what)
		}
	}
	return missing
}

func (p Policy) rules() []landlock.Rule {
	rules := paths(readDir, system())
	rules = append(rules, landlock.PathAccess(readFile|writeFile, "/dev/null").IgnoreIfMissing())
	rules = append(rules, paths(readDir, p.ReadOnly)...)
	change := readDir | writeDir
	if enclosure.Version() < abiRefer {
		// The first version knows no moving between directories, and a rule that
		// asks for it would switch everything off.
		change &^= landlock.AccessFSSet(landlocksys.AccessFSRefer)
	}
	rules = append(rules, paths(change, p.ReadWrite)...)
	return append(rules, paths(readDir|execute, p.Execute)...)
}

// onFiles are the rights that a rule for a single file can have.
const onFiles = readFile | writeFile | execute

func paths(access landlock.AccessFSSet, names []string) []landlock.Rule {
	var rules []landlock.Rule
	for _, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			continue
		}
		granted := access
		if !info.IsDir() {
			granted &= onFiles
		}
		rules = append(rules, landlock.PathAccess(granted, name).IgnoreIfMissing())
	}
	return rules
}

// denyMultipath refuses Multipath TCP sockets on every thread: Landlock limits
// the ports of plain TCP only, and Go listens with Multipath TCP by itself where
// it can; it falls back to plain TCP.
func denyMultipath() error {
	const protocol = 2 // The argument of socket(2).
	return seccomp.LoadFilter(seccomp.Filter{
		NoNewPrivs: true, Flag: seccomp.FilterFlagTSync,
		Policy: seccomp.Policy{
			DefaultAction: seccomp.ActionAllow,
			Syscalls: []seccomp.SyscallGroup{{
				Action: seccomp.ActionErrno,
				NamesWithCondtions: []seccomp.NameWithConditions{{
					Name: "socket", Conditions: []seccomp.Condition{{Argument: protocol, Operation: seccomp.Equal, Value: unix.IPPROTO_MPTCP}},
				}},
			}},
		},
	})
}

func (p Policy) restrictPorts() error {
	var handled landlock.AccessNetSet
	var rules []landlock.Rule
	if p.Connect != nil {
		handled |= landlock.AccessNetSet(landlocksys.AccessNetConnectTCP)
		for _, port := range p.Connect {
			rules = append(rules, landlock.ConnectTCP(port))
		}
	}
	if p.Bind != nil {
		handled |= landlock.AccessNetSet(landlocksys.AccessNetBindTCP)
		for _, port := range p.Bind {
			rules = append(rules, landlock.BindTCP(port))
		}
	}
	if handled == 0 {
		return nil
	}
	if err := denyMultipath(); err != nil {
		return err
	}
	config, err := landlock.NewConfig(handled)
	if err != nil {
		return err
	}
	return config.BestEffort().RestrictNet(rules...)
}
