package activities

import (
	"context"
	"encoding/json"
	"math/rand/v2"
	"reflect"
	"time"

	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/task"
)

// maxRetryDelay bounds what an exponential back-off grows to.
const maxRetryDelay = 24 * time.Hour

// catch decides whether a try's catch takes an error, and whether the try runs
// again and after which delay. A delay's jitter is random: the journal makes
// it the same when the step is asked again.
func (e *Executor) catch(ctx context.Context, st *runState, req task.StepRequest, t *flow.Task, started time.Time) (task.Record, error) {
	object, err := st.fault(req.Fault)
	if err != nil {
		return task.Record{}, err
	}
	c := t.Try.Catch
	rec := task.Record{Result: task.StepResult{Context: req.Context}}
	if !matches(c.With, object) {
		return rec, nil
	}
	ok, failed, err := e.judge(ctx, st, req, t, started, object, c.When, c.ExceptWhen)
	if err != nil || failed != nil {
		return orFailed(rec, failed), err
	}
	if !ok {
		return rec, nil
	}
	rec.Result.Caught = true
	rec.Result.Output = task.Ref(req.Key)
	put(&rec, rec.Result.Output, object)
	if c.Retry == nil || exhausted(c.Retry, req, started) {
		return rec, nil
	}
	ok, failed, err = e.judge(ctx, st, req, t, started, object, c.Retry.When, c.Retry.ExceptWhen)
	if err != nil || failed != nil {
		return orFailed(rec, failed), err
	}
	if ok {
		rec = waiting(rec, started, delay(c.Retry, req.Index))
		rec.Result.Retry = true
	}
	return rec, nil
}

func orFailed(rec task.Record, failed *task.Record) task.Record {
	if failed != nil {
		return *failed
	}
	return rec
}

func (st *runState) fault(f *task.Fault) (json.RawMessage, error) {
	if f == nil {
		return json.RawMessage("{}"), nil
	}
	if f.Ref == "" {
		// A fault that the interpreter raised itself, such as a timeout.
		return json.Marshal(problem{Type: f.Type, Status: f.Status, Instance: f.Instance, Detail: f.Detail})
	}
	return st.value(f.Ref)
}

// matches compares the filter's fields with the error's; absent ones match.
// Both spellings of the standard types' addresses are the same type.
func matches(filter *flow.Template, object json.RawMessage) bool {
	if filter == nil {
		return true
	}
	var want, have map[string]any
	if json.Unmarshal(filter.JSON, &want) != nil || json.Unmarshal(object, &have) != nil {
		return false
	}
	for k, v := range want {
		if s, ok := v.(string); ok && k == "type" {
			v = flow.ErrorType(s)
		}
		if !reflect.DeepEqual(v, have[k]) {
			return false
		}
	}
	return true
}

// judge evaluates when and exceptWhen on the error, which is also in scope as
// the catch's variable.
func (e *Executor) judge(ctx context.Context, st *runState, req task.StepRequest, t *flow.Task, started time.Time, object json.RawMessage, when, except *flow.Template) (bool, *task.Record, error) {
	if when == nil && except == nil {
		return true, nil, nil
	}
	s, err := e.newScope(st, req, t, started)
	if err != nil {
		return false, nil, err
	}
	if err := s.reenter(); err != nil {
		return false, nil, err
	}
	as := "$" + t.Try.Catch.As
	s.batch.Values[as] = object
	add := func(to string, c *flow.Template) error {
		if c == nil {
			return nil
		}
		if err := s.eval(to, as, c, false); err != nil {
			return err
		}
		last := &s.batch.Evals[len(s.batch.Evals)-1]
		if uses(as, c) {
			if last.Vars == nil {
				last.Vars = make(map[string]string, 1)
			}
			last.Vars[as] = as
		}
		return nil
	}
	if err := add("when", when); err != nil {
		return false, nil, err
	}
	if err := add("except", except); err != nil {
		return false, nil, err
	}
	r, err := s.run(ctx)
	if err != nil {
		return false, nil, err
	}
	if r.Fault != nil {
		rec := faulted(req, fromEvaluation(r.Fault))
		return false, &rec, nil
	}
	return (when == nil || truthy(r.Values["when"])) && (except == nil || !truthy(r.Values["except"])), nil, nil
}

func truthy(v json.RawMessage) bool {
	s := string(v)
	return s != "" && s != "false" && s != "null"
}

func exhausted(r *flow.Retry, req task.StepRequest, now time.Time) bool {
	if r.Attempts > 0 && req.Index >= r.Attempts {
		return true
	}
	return r.Duration > 0 && !req.Started.IsZero() && now.Sub(req.Started) >= r.Duration
}

// delay computes the pause before retry number attempt (from 0).
func delay(r *flow.Retry, attempt int) time.Duration {
	// Bounded first, so that nothing below overflows into no pause at all.
	d := min(r.Delay, maxRetryDelay)
	switch r.Backoff {
	case flow.BackoffLinear:
		d *= time.Duration(min(attempt+1, 100_000))
	case flow.BackoffExponential:
		for range attempt {
			if d *= 2; d > maxRetryDelay {
				break
			}
		}
	case flow.BackoffConstant:
	}
	d = min(d, maxRetryDelay)
	from, to := min(r.JitterFrom, maxRetryDelay), min(r.JitterTo, maxRetryDelay)
	if span := to - from; span > 0 {
		d += rand.N(span) //nolint:gosec // Jitter is no secret.
	}
	return min(max(d+from, 0), maxRetryDelay)
}
