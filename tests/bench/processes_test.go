package bench

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the kernel's unit of processor time in /proc, fixed for programs.
const tick = 10 * time.Millisecond

type process struct {
	parent int
	name   string
	args   []string
	// cpu is its own processor time and that of the children it has reaped.
	cpu time.Duration
}

func readProcess(pid int) (process, bool) {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return process{}, false
	}
	text := string(stat)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(fields) < 15 {
		return process{}, false
	}
	var p process
	if p.parent, err = strconv.Atoi(fields[1]); err != nil {
		return process{}, false
	}
	for _, field := range fields[11:15] { // utime, stime, cutime, cstime
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return process{}, false
		}
		p.cpu += time.Duration(n) * tick
	}
	if cmdline, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline")); err == nil {
		p.args = strings.Split(strings.TrimRight(string(cmdline), "\x00"), "\x00")
	}
	p.name = "unnamed"
	if len(p.args) > 0 {
		p.name = strings.TrimSuffix(filepath.Base(p.args[0]), ":")
		switch {
		case p.name == "tenon" && len(p.args) > 1:
			p.name = "tenon-" + p.args[1]
		case strings.HasPrefix(p.args[0], "postgres:"):
			p.name = "postgres"
		}
	}
	return p, true
}

// family lists the live processes that descend from any of the roots, them included.
func family(roots ...int) map[int]process {
	all := map[int]process{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil {
			if p, ok := readProcess(pid); ok {
				all[pid] = p
			}
		}
	}
	wanted := map[int]bool{}
	for _, pid := range roots {
		wanted[pid] = true
	}
	out := map[int]process{}
	for pid := range all {
		for at := pid; at > 1; at = all[at].parent {
			if wanted[at] {
				out[pid] = all[pid]
				break
			}
		}
	}
	return out
}

// usage is processor time by the name of the process.
type usage map[string]time.Duration

func spent(roots ...int) usage {
	out := usage{}
	for _, p := range family(roots...) {
		out[p.name] += p.cpu
	}
	return out
}

func (u usage) since(before usage) usage {
	out := usage{}
	for name, d := range u {
		out[name] = d - before[name]
	}
	for name, d := range before {
		if _, ok := u[name]; !ok {
			out[name] = -d // it has ended; who reaped it has its time
		}
	}
	return out
}

func (u usage) total() (sum time.Duration) {
	for _, d := range u {
		sum += d
	}
	return sum
}

// resident is the memory of processes in MiB, shared pages divided among those
// who share them. It is false where the kernel does not tell.
func resident(processes map[int]process) (float64, bool) {
	total := 0.0
	for pid := range processes {
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "smaps_rollup"))
		if err != nil {
			return 0, false
		}
		for line := range strings.Lines(string(text)) {
			if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
				kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
				if err != nil {
					return 0, false
				}
				total += kib / 1024
			}
		}
	}
	return total, len(processes) > 0
}
