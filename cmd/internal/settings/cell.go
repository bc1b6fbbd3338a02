package settings

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// The bounds of the bounds.
const (
	mebibyte                      = 1 << 20
	leastMemory, mostMemory       = 128, 1 << 20
	leastProcesses, mostProcesses = 64, 1 << 16
	mostWeight, mostRuns          = 10_000, 100_000
)

// Cell bounds each cell.
type Cell struct {
	// Memory and Disk are in bytes; Disk 0 is no bound.
	Memory, Disk int64
	// Processes counts threads, too. Weight is a share of processor time.
	Processes, Weight int64
	// Runs are carried at a time.
	Runs int
	// Groups are delegated cgroup directories.
	Groups []string
}

// cellOf reads values that have been checked.
func cellOf(v map[string]string) Cell {
	count := func(name string) int64 {
		n, _ := strconv.ParseInt(v[name], 10, 64)
		return n
	}
	c := Cell{
		Memory: count("cell-memory") * mebibyte, Disk: count("cell-disk") * mebibyte,
		Processes: count("cell-processes"), Weight: count("cell-cpu-weight"), Runs: int(count("cell-runs")),
	}
	if v["cell-cgroups"] != "" {
		c.Groups = strings.Split(v["cell-cgroups"], ",")
	}
	return c
}

func number(least, most int64) func(string) string {
	return func(v string) string {
		if n, err := strconv.ParseInt(v, 10, 64); err == nil && n >= least && n <= most {
			return ""
		}
		return fmt.Sprintf("a whole number from %d to %d", least, most)
	}
}

func directories(v string) string {
	for path := range strings.SplitSeq(v, ",") {
		if !filepath.IsAbs(path) || filepath.Clean(path) != path || !strings.HasPrefix(path, "/sys/fs/cgroup/") {
			return "directories under /sys/fs/cgroup, separated by commas"
		}
	}
	return ""
}
