package activities

import (
	"context"
	"time"

	"github.com/tenonhq/tenon/schema/task"
)

// Stretches performs the first stretches of several runs at the same time (activity
// [task.Stretches], a local one), each as [Executor.Step] does. None waits for
// another: what a run comes to is on the disk whatever becomes of the others. Its
// carrier, if it has to go on with one, is told of it [task.StretchesPatience] later
// at most, without those that are still under way; it joins them.
func (e *Executor) Stretches(ctx context.Context, req task.StretchesRequest) (task.StretchesResult, error) {
	type answer struct {
		of     int
		result task.StepResult
		err    error
	}
	answers := make(chan answer, len(req.Steps))
	for i, step := range req.Steps {
		go func() {
			r, err := shield(func() (task.StepResult, error) { return e.stretch(ctx, step) })
			answers <- answer{i, r, err}
		}()
	}
	out := task.StretchesResult{Answers: make([]*task.StepResult, len(req.Steps))}
	// One that takes longer than a step may is not waited for either: the activity would
	// come to its limit, and all of them be asked for again.
	late := time.After(task.LocalPatience + 10*task.StretchesPatience)
	hurried := false
	for range req.Steps {
		select {
		case a := <-answers:
			if a.err == nil {
				out.Answers[a.of] = &a.result
			}
			if !hurried && (a.err != nil || !a.result.Over()) {
				hurried, late = true, time.After(task.StretchesPatience)
			}
		case <-late:
			return out, nil
		case <-ctx.Done():
			return task.StretchesResult{}, ctx.Err()
		}
	}
	return out, nil
}
