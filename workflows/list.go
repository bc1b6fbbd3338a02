package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/task"
)

// list performs tasks in the order that their directives give. Its outcome is
// proceed, exited, or one that ends more than the list.
//
// closes says that the run ends with the list.
func (r *run) list(ctx workflow.Context, s scope, tasks []flow.Task, data, context task.Ref, closes bool) outcome {
	// visits counts the visits of each task, once a jump makes more than one possible.
	var visits []int
	for i := 0; i < len(tasks); {
		visit := 1
		if visits != nil {
			visits[i]++
			visit = visits[i]
		}
		t := &tasks[i]
		var next stretch
		if visits == nil {
			next = stretch{list: s, rest: tasks[i+1:], closes: closes}
		}
		o, then := r.task(ctx, s.visit(t, visit), t, data, context, next)
		if o.ending != proceed {
			return o
		}
		data, context = o.data, o.context
		switch then {
		case "", flow.ThenContinue:
			i++
		case flow.ThenExit:
			return outcome{ending: exited, data: data, context: context}
		case flow.ThenEnd:
			return outcome{ending: ended, data: data, context: context}
		default:
			next := find(tasks, then)
			if next < 0 {
				return breach(flow.TypeConfiguration, 400, t.Pointer, "then names no task of the same list")
			}
			if visits == nil {
				// Before the first jump every task up to here was visited once.
				visits = make([]int, len(tasks))
				for j := range i + 1 {
					visits[j] = 1
				}
			}
			i = next
		}
	}
	return outcome{data: data, context: context}
}

func find(tasks []flow.Task, name string) int {
	for i := range tasks {
		if tasks[i].Name == name {
			return i
		}
	}
	return -1
}
