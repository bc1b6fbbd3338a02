package activities

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/task"
)

// Finish ends a run for its carrier (activity [task.Finish]): what is pending,
// the result, status and audit in one transaction. A run that another carrier
// owns, or that has ended, is left as it is.
func (e *Executor) Finish(ctx context.Context, req task.FinishRequest) error {
	st, err := e.state(ctx, req.Owner)
	if errors.Is(err, errStopped) {
		return nil
	}
	if err != nil {
		return err
	}
	err = e.finish(ctx, st, req)
	switch {
	case errors.Is(err, errStopped):
		return nil
	case errors.Is(err, errLost):
		e.Forget(req.Owner.Run)
		e.cfg.Requeue(req.Owner.Run)
		return nil
	}
	return err
}

func (e *Executor) finish(ctx context.Context, st *runState, req task.FinishRequest) error {
	result, end, err := e.result(ctx, st, req)
	if err != nil {
		return err
	}
	plain, err := json.Marshal(result)
	if err != nil {
		return schema.Errorf(schema.CodeInternal, "a run's result does not encode: %w", err)
	}
	end.ResultSealed = e.cfg.Data.Seal(place.Run(e.cfg.Organization, st.run.ID), plain)
	end.At = e.now()
	err = e.commit(ctx, st, store.RunCommit{
		End: &end,
		Audit: []store.AuditDraft{{
			Actor: st.run.ID, Action: "run." + end.State, Target: st.run.ID, Namespace: st.run.Namespace,
		}},
	})
	if err != nil {
		return err
	}
	e.Forget(st.run.ID)
	return nil
}

func (e *Executor) result(ctx context.Context, st *runState, req task.FinishRequest) (config.Result, store.RunEnd, error) {
	if req.Fault != nil {
		return e.failure(st, *req.Fault)
	}
	s, err := e.newScope(st, task.StepRequest{Owner: req.Owner, Key: req.Key, Input: req.Output, Context: req.Context}, nil, e.now())
	if err != nil {
		return config.Result{}, store.RunEnd{}, err
	}
	if err := s.leave(valueRaw, st.plan.doc.Output, nil); err != nil {
		return config.Result{}, store.RunEnd{}, err
	}
	r, err := s.run(ctx)
	if err != nil {
		return config.Result{}, store.RunEnd{}, err
	}
	if r.Fault != nil {
		rec := faulted(s.req, fromEvaluation(r.Fault))
		st.keep(req.Key, rec)
		return e.failure(st, *rec.Result.Fault)
	}
	return config.Result{Output: s.batch.Values[s.left]}, store.RunEnd{State: store.RunCompleted}, nil
}

func (e *Executor) failure(st *runState, f task.Fault) (config.Result, store.RunEnd, error) {
	object, err := st.fault(&f)
	return config.Result{Error: object}, store.RunEnd{State: store.RunFailed, ErrorType: f.Type}, err
}
