package activities

import (
	"context"
	"time"

	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/task"
)

// timeout starts the clock of a timeout.
func (e *Executor) timeout(ctx context.Context, st *runState, req task.StepRequest, t *flow.Task, started time.Time) (task.Record, error) {
	limit := req.Limit
	if limit == 0 {
		bound := st.plan.doc.Timeout
		if t != nil {
			bound = t.Timeout
		}
		s, err := e.newScope(st, req, t, started)
		if err != nil {
			return task.Record{}, err
		}
		if err := s.eval(valueBody, valueRaw, bound, false); err != nil {
			return task.Record{}, err
		}
		r, err := s.run(ctx)
		switch {
		case err != nil:
			return task.Record{}, err
		case r.Fault != nil:
			return faulted(req, fromEvaluation(r.Fault)), nil
		}
		if limit, err = flow.ParseDuration(s.batch.Values[valueBody]); err != nil {
			return faulted(req, problem{Type: flow.TypeConfiguration, Detail: err.Error()}), nil //nolint:nilerr // A bad duration is the run's fault.
		}
	}
	return waiting(task.Record{Result: task.StepResult{Context: req.Context}}, started, limit), nil
}
