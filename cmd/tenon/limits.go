package main

import (
	"context"

	"github.com/tenonhq/tenon/worker/process"
)

// limits are those of each cell. It says which of them hold here and by what:
// cgroups where the operator delegated some, weaker means otherwise.
func (e env) limits(ctx context.Context) process.Limits {
	l := process.Limits{Memory: e.Cell.Memory, Processes: e.Cell.Processes, Weight: e.Cell.Weight, Groups: e.Cell.Groups}
	held, err := l.Try()
	if err != nil {
		e.logger.WarnContext(ctx, "the setting cell-cgroups does not hold: its directories cannot be used", "error", err)
		l.Groups, held = nil, process.Held{}
	}
	by := func(group bool, otherwise string) string {
		if group {
			return "cgroup, all processes of the cell"
		}
		return otherwise
	}
	e.logger.InfoContext(ctx, "limits of each cell",
		"memory", by(held.Memory, "of the worker and of each child for itself"),
		"processes", by(held.Processes, "threads of connectors and evaluators alone"),
		"cpu", by(held.Weight, "nice value"), "runs", e.Cell.Runs, "disk_mib", e.Cell.Disk>>20)
	return l
}
