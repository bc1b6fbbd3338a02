package activities

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/crash"
	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/task"
)

// Finish ends a run for its carrier (activity [task.Finish]): what is pending,
// the result, status and audit in one transaction. A run that another carrier
// owns, or that has ended, is left as it is.
func (e *Executor) Finish(ctx context.Context, req task.FinishRequest) error {
	st, err := e.state(ctx, req.Owner, false)
	if err == nil {
		err = e.quiet(ctx, st)
	}
	if err == nil {
		err = e.finish(ctx, st, req)
	}
	switch {
	case errors.Is(err, errStopped):
		return nil
	case errors.Is(err, errLost):
		e.Leave(req.Owner.Run)
		e.cfg.Requeue(req.Owner.Run)
		return nil
	}
	return err
}

// quiet keeps further calls of the run from beginning and waits for the one that
// is live: a timeout may end a run in the middle of a call, and the ledger is
// to say what became of it.
func (e *Executor) quiet(ctx context.Context, st *runState) error {
	st.commits.Lock()
	st.ending = true
	st.commits.Unlock()
	late := time.NewTimer(task.LocalPatience)
	defer late.Stop()
	for _, ef := range st.begun() {
		live := e.lanes.busy(lane(st.run.ID, ef.Key))
		if live == nil {
			continue
		}
		select {
		case <-live:
		case <-late.C:
			return schema.Errorf(schema.CodeUnavailable, "a call of the run is still live; the run is ended after it")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// begun are the effects of the run whose outcome is not known.
func (st *runState) begun() []store.Effect {
	st.mu.Lock()
	defer st.mu.Unlock()
	var out []store.Effect
	for _, ef := range st.effects {
		if ef.State == store.EffectIntent {
			out = append(out, ef)
		}
	}
	return out
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
	end.ResultSealed = e.seal(place.Run(e.cfg.Organization, st.run.ID), plain)
	end.At = e.now()
	c := store.RunCommit{End: &end}
	for _, ef := range st.begun() {
		// The flow went on without it; that nobody knows stays on the record.
		ef.State, ef.UpdatedAt = store.EffectUncertain, end.At
		c.Effects = append(c.Effects, ef)
		c.Audit = append(c.Audit, store.AuditDraft{
			Actor: st.run.ID, Action: "effect.uncertain", Target: ef.ID, Namespace: st.run.Namespace,
		})
	}
	if len(c.Effects) > 0 {
		c.Alerts = append(c.Alerts, alertOf(store.AlertUncertain, st.run.Namespace, st.run.Flow, st.run.ID))
	}
	c.Audit = append(c.Audit, store.AuditDraft{
		Actor: st.run.ID, Action: "run." + end.State, Target: st.run.ID, Namespace: st.run.Namespace,
	})
	if end.State == store.RunFailed {
		failed, err := e.failed(ctx, st.run)
		if err != nil {
			return err
		}
		c.Alerts = append(c.Alerts, failed...)
	}
	if err := e.commit(ctx, st, c); err != nil {
		return err
	}
	if len(c.Alerts) > 0 {
		e.cfg.Alerted()
	}
	crash.At(crash.RunFinished)
	e.drop(st)
	return nil
}

func (e *Executor) result(ctx context.Context, st *runState, req task.FinishRequest) (config.Result, store.RunEnd, error) {
	if req.Fault != nil {
		return failure(st, *req.Fault)
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
	output := s.batch.Values[s.left]
	var rec task.Record
	switch {
	case r.Fault != nil:
		rec = faulted(s.req, fromEvaluation(r.Fault))
	case len(output) > maxValue:
		rec = faulted(s.req, problem{Type: flow.TypeRuntime, Title: "Too large", Detail: tooLarge})
	default:
		result := config.Result{Output: output}
		if s.left == valueRaw && len(output) >= worthNaming && st.journalled(req.Output) {
			result = config.Result{From: string(req.Output)}
		}
		return result, store.RunEnd{State: store.RunCompleted}, nil
	}
	f := rec.Result.Fault
	return config.Result{Error: rec.Values[f.Ref]}, store.RunEnd{State: store.RunFailed, ErrorType: publicType(f.Type)}, nil
}

// journalled tells whether a value is one of a step's that the journal has.
func (st *runState) journalled(ref task.Ref) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, rec := range st.records {
		if _, ok := rec.Values[ref]; ok {
			return true
		}
	}
	return false
}

func failure(st *runState, f task.Fault) (config.Result, store.RunEnd, error) {
	object, err := st.fault(&f)
	return config.Result{Error: object}, store.RunEnd{State: store.RunFailed, ErrorType: publicType(f.Type)}, err
}

// customType is what a run's row says of an error type of the flow's own.
const customType = "custom"

// publicType is the type as the run's row tells it in clear: a flow may compute
// the type of an error from a payload, which stays sealed (invariant 3).
func publicType(t string) string {
	switch t {
	case flow.TypeConfiguration, flow.TypeValidation, flow.TypeExpression, flow.TypeAuthentication,
		flow.TypeAuthorization, flow.TypeTimeout, flow.TypeCommunication, flow.TypeRuntime:
		return t
	}
	return customType
}
