package activities

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/crash"
	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/task"
)

// Step performs one phase of one task for a carrier (activity [task.Step]), and,
// as a local activity, the tasks that follow it. It returns an error only when
// the infrastructure failed; the engine then asks again. As a local activity it
// waits no longer than [task.LocalPatience].
func (e *Executor) Step(ctx context.Context, req task.StepRequest) (task.StepResult, error) {
	if activity.GetInfo(ctx).IsLocalActivity {
		return e.stretch(ctx, req)
	}
	stop := heartbeat(ctx)
	defer stop()
	result, _, err := e.perform(ctx, req, 0, true)
	return result, err
}

// heartbeat keeps a regular activity alive in the engine while its call is live.
func heartbeat(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		t := time.NewTicker(task.HeartbeatEvery)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				activity.RecordHeartbeat(ctx)
			}
		}
	}()
	return cancel
}

// perform does one step, or joins whoever does it. told says that the answer is
// told next: what the step owes to the disk is there before.
func (e *Executor) perform(ctx context.Context, req task.StepRequest, patience time.Duration, told bool) (task.StepResult, bool, error) {
	st, err := e.state(ctx, req.Owner, false)
	if err != nil {
		result, err := e.stopped(req.Owner.Run, err)
		return result, true, err
	}
	if r, ok := e.answered(st, req); ok && (!told || !st.mustWrite()) {
		if r.Wait > 0 && st.rests() {
			e.mu.Lock()
			st.heard.Works = false
			e.mu.Unlock()
		}
		return r, true, nil
	}
	// A new owner of the run does not join a step of the one before: that one
	// is fenced and ends with nothing. What its call came to is handed over by
	// the effect's lane.
	key := req.Owner.Run + "\x00" + req.Owner.Carrier + "\x00" + strconv.FormatInt(req.Owner.Epoch, 10) + "\x00" + req.Key
	result, ok, err := e.flights.join(ctx, key, patience, func(ctx context.Context, left func() bool) (task.StepResult, error) {
		return e.execute(ctx, st, req, func() bool { return told || left() })
	})
	if err == nil && ok && told && !result.Stopped && st.mustWrite() {
		// The flight was one whose answer was not to be told yet.
		err = e.commit(ctx, st, store.RunCommit{})
	}
	if err != nil {
		result, err = e.stopped(req.Owner.Run, err)
	}
	return result, ok, err
}

// stopped turns an error that ends an owner's work, or puts its step off, into its
// answer. A run that was lost is handed back first.
func (e *Executor) stopped(run string, err error) (task.StepResult, error) {
	var put *later
	switch {
	case errors.As(err, &put):
		e.mu.Lock()
		if st, ok := e.runs[run]; ok {
			st.heard.Put = put.wait
		}
		e.mu.Unlock()
		return task.StepResult{Slow: true, Wait: put.wait}, nil
	case errors.Is(err, errLost):
		e.Leave(run)
		e.cfg.Requeue(run)
	case !errors.Is(err, errStopped):
		return task.StepResult{}, err
	}
	return task.StepResult{Stopped: true}, nil
}

// answered looks the step up in the journal. A timeout whose expiry was
// recorded has expired, whatever is left of it by the clock.
func (e *Executor) answered(st *runState, req task.StepRequest) (task.StepResult, bool) {
	if req.Phase == task.PhaseTimeout {
		if expired, ok := st.recorded(req.Expiry); ok {
			return task.StepResult{Fault: expired.Result.Fault}, true
		}
	}
	r, ok := st.recorded(req.Key)
	return r.At(e.now()), ok
}

func (e *Executor) execute(ctx context.Context, st *runState, req task.StepRequest, told func() bool) (task.StepResult, error) {
	// Another flight may have ended between the look into the journal and this
	// one, or not have got its record to the disk.
	if r, ok := e.answered(st, req); ok {
		if told() && st.mustWrite() {
			return r, e.commit(ctx, st, store.RunCommit{})
		}
		return r, nil
	}
	st.goesOn()
	started := e.started(st, req)
	t, kind := (*flow.Task)(nil), "document"
	if req.Pointer != "" {
		var ok bool
		if t, ok = st.plan.doc.Task(req.Pointer); !ok {
			return task.StepResult{}, schema.Errorf(schema.CodeInternal, "the pinned document has no task at the step's pointer")
		}
		kind = string(t.Kind)
	}
	var rec task.Record
	var err error
	switch req.Phase {
	case task.PhaseWhole:
		rec, err = e.whole(ctx, st, req, t, started)
	case task.PhaseEnter:
		rec, err = e.enter(ctx, st, req, t, started)
	case task.PhaseLeave:
		rec, err = e.leave(ctx, st, req, t, started)
	case task.PhaseItem:
		rec, err = e.item(ctx, st, req, t, started)
	case task.PhaseCatch:
		rec, err = e.catch(ctx, st, req, t, started)
	case task.PhaseTimeout:
		rec, err = e.timeout(ctx, st, req, t, started)
	case task.PhaseExpire:
		rec = faulted(req, problem{Type: flow.TypeTimeout, Title: "Timeout", Detail: "the time allowed for the task has passed"})
	default:
		return task.StepResult{}, schema.Errorf(schema.CodeInternal, "unknown phase of a step")
	}
	if err != nil {
		return task.StepResult{}, err
	}
	rec = st.bound(req, rec)
	if rec.Result.Fault != nil {
		st.unexpect()
	}
	parks := kind == string(flow.KindWait) && req.Phase == task.PhaseEnter && rec.Result.Wait > 0 || rec.Result.Retry && rec.Result.Wait >= flow.LongPause
	if err := e.journal(st, req, kind, started, rec, st.parks(kind, req.Phase, rec.Result), parks); err != nil {
		return task.StepResult{}, err
	}
	if !told() || !st.mustWrite() {
		return rec.Result, nil
	}
	// What a timer or another process will follow on is durable before it is told.
	if err := e.commit(ctx, st, store.RunCommit{}); err != nil {
		return task.StepResult{}, err
	}
	crash.At(crash.StepKept)
	return rec.Result, nil
}

// parks tells whether a step must be durable before it is told: when the
// workflow may wait after it, so that its markers outlive this process, and
// after a wait, so that the row of a run whose carrier goes on without its
// journal never says that it waits.
func (st *runState) parks(kind string, phase task.Phase, r task.StepResult) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.waiting || kind == string(flow.KindCall) && phase == task.PhaseWhole && !r.Skipped || r.Wait > 0
}

func (st *runState) mustWrite() bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.owes
}

// started is the time that a step sees: the one at which its effect was first
// asked for, so that expressions over time make the same request again, until
// it is known that the effect did not happen. Databases keep microseconds.
func (e *Executor) started(st *runState, req task.StepRequest) time.Time {
	now := e.now().Truncate(time.Microsecond)
	if req.Effect == "" {
		return now
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	var last store.Effect
	for key := req.Effect; ; key += other {
		ef, _, ok := st.prior(key, st.run.ID)
		if !ok {
			break
		}
		last = ef
	}
	if last.ID == "" || last.State == store.EffectFailed {
		return now
	}
	return last.CreatedAt
}

func (e *Executor) whole(ctx context.Context, st *runState, req task.StepRequest, t *flow.Task, started time.Time) (task.Record, error) {
	s, err := e.newScope(st, req, t, started)
	if err != nil {
		return task.Record{}, err
	}
	switch t.Kind {
	case flow.KindSet:
		err = s.opening()
	case flow.KindCall:
		return e.call(ctx, s)
	case flow.KindRaise:
		if err = s.enter(t.If, t.Input); err == nil {
			err = s.eval(valueBody, s.entered, t.Raise, false)
		}
	case flow.KindSwitch:
		if err = s.enter(t.If, t.Input); err == nil {
			err = s.eval("branch", s.entered, branches(t.Switch), false)
		}
		if err == nil {
			err = s.leave(s.entered, t.Output, t.Export)
		}
	case flow.KindDo, flow.KindTry, flow.KindWait, flow.KindFor:
		err = schema.Errorf(schema.CodeInternal, "a %s is not performed whole", t.Kind)
	}
	if err != nil {
		return task.Record{}, err
	}
	rec, ok, err := s.settle(ctx)
	if err != nil || !ok {
		return rec, err
	}
	switch t.Kind { //nolint:exhaustive // The other kinds decide nothing.
	case flow.KindRaise:
		var p problem
		if err := json.Unmarshal(s.batch.Values[valueBody], &p); err != nil {
			p = problem{Type: flow.TypeConfiguration, Detail: "raise needs an error object with a type and a status"}
		}
		return faulted(req, p), nil
	case flow.KindSwitch:
		var i int
		if err := json.Unmarshal(s.batch.Values["branch"], &i); err != nil {
			return task.Record{}, schema.Errorf(schema.CodeInternal, "a switch did not yield a case: %w", err)
		}
		if i >= 0 {
			rec.Result.Branch = t.Switch[i].Then
		}
	}
	return rec, nil
}

// settle runs the batch and makes the record: skipped, failed (ok false), or
// with the output and context that leave named.
func (s *scope) settle(ctx context.Context) (rec task.Record, ok bool, err error) {
	r, err := s.run(ctx)
	switch {
	case err != nil:
		return task.Record{}, false, err
	case r.Fault != nil:
		return faulted(s.req, fromEvaluation(r.Fault)), false, nil
	case r.Halted:
		return task.Record{Result: task.StepResult{Skipped: true, Output: s.req.Input, Context: s.req.Context}}, false, nil
	}
	rec = task.Record{Result: task.StepResult{Output: s.req.Input, Context: s.req.Context}}
	if s.left != "" && s.left != valueRaw {
		put(&rec, task.Ref(s.req.Key), s.batch.Values[s.left])
		rec.Result.Output = task.Ref(s.req.Key)
	}
	if s.exported != "" {
		ref := task.Ref(s.req.Key + "^c")
		put(&rec, ref, s.batch.Values[s.exported])
		rec.Result.Context = ref
	}
	return rec, true, nil
}

// branches makes one expression of a switch's cases that yields the index of
// the first that holds, or -1: no later condition is evaluated, as with the
// specification's order.
func branches(cases []flow.Case) *flow.Template {
	expr := "-1"
	for i, v := range slices.Backward(cases) {
		index := string(mustJSON(i))
		if v.When == nil {
			expr = index
			continue
		}
		expr = "if (" + expression(v.When) + ") then " + index + " else " + expr + " end"
	}
	return &flow.Template{JSON: mustJSON("${ " + expr + " }")}
}

// expression takes the bare expression out of a template that is one.
func expression(t *flow.Template) string {
	var s string
	if json.Unmarshal(t.JSON, &s) != nil {
		return string(t.JSON)
	}
	if len(s) > 3 && s[:2] == "${" && s[len(s)-1] == '}' {
		return s[2 : len(s)-1]
	}
	return string(t.JSON)
}

// mustJSON encodes a string or a number, which cannot fail.
func mustJSON(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage("null")
	}
	return b
}

func put(rec *task.Record, ref task.Ref, v json.RawMessage) {
	if rec.Values == nil {
		rec.Values = make(map[task.Ref]json.RawMessage, 2)
	}
	rec.Values[ref] = v
}
