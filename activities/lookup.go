package activities

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"github.com/tenonhq/tenon/activities/evaluate"
	"github.com/tenonhq/tenon/plugins/host"
	"github.com/tenonhq/tenon/plugins/sdk"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/task"
)

// settleTime is how long after its intent, or after the process that asks has
// seen it first, a call is given to have its effect: until then a lookup that
// finds nothing proves nothing, since what was sent may still be worked on. It is
// twice what the broker waits for an answer.
const settleTime = task.StepLimit

// The names that a lookup's templates see.
const (
	lookupKey   = "$key"   // the effect's idempotency key
	lookupInput = "$input" // the arguments of the call
	lookupOut   = "answer"
	lookupFound = "found"
)

// sight is when this process saw first that an attempt at an effect had begun.
type sight struct {
	attempts int
	at       time.Time
}

// maxSights bounds what is remembered of effects; without, the proof takes longer.
const maxSights = 4096

// observed is an effect as it was read. Its row has the time of a clock that may
// have been set since: how long ago its call began is counted from when this
// process saw it first, by its own monotonic clock (invariant 7).
func (e *Executor) observed(ef store.Effect) store.Effect {
	if ef.State != store.EffectIntent {
		return ef
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	s, ok := e.sights[ef.ID]
	if !ok || s.attempts != ef.Attempts {
		if len(e.sights) >= maxSights {
			clear(e.sights)
		}
		s = sight{ef.Attempts, e.now()}
		e.sights[ef.ID] = s
	}
	ef.UpdatedAt = s.at
	return ef
}

// lookup asks the target whether an effect happened whose call began and has no
// outcome. The call is not live: its owner's process is gone, since the host
// starts a cell only when the one before has ended, or it was this process,
// which has left the effect's lane. It returns what was found, nothing when the
// effect is proven absent, and an error otherwise: the question is asked again,
// or the run has been parked. A lookup that cannot be made leaves it to the
// policy, which may have a problem for the flow.
func (e *Executor) lookup(ctx context.Context, s *scope, a *attempt, ef store.Effect) (json.RawMessage, *problem, error) {
	if ef.IdempotencyKey == "" {
		return nil, nil, errKeyless
	}
	found, p, err := e.ask(ctx, s, a, ef)
	switch {
	case err != nil:
		return nil, nil, err
	case p != nil && p.Type == wrongLookup:
		return e.unknown(ctx, s.st, a.conn, ef)
	case p != nil:
		return nil, nil, schema.Errorf(schema.CodeUnavailable, "the lookup of effect %s failed and is tried again", ef.ID)
	case found != nil:
		s.st.mu.Lock()
		s.st.audit = append(s.st.audit, store.AuditDraft{
			Actor: s.st.run.ID, Action: "effect.found", Target: ef.ID, Namespace: s.st.run.Namespace,
		})
		s.st.mu.Unlock()
		return found, nil, e.settleEffect(s.st, ef, store.EffectDone, outcome{Output: found})
	case e.now().Sub(ef.UpdatedAt) < settleTime:
		// Waiting is no failed attempt: the engine's pauses bound it.
		s.excuse()
		return nil, nil, schema.Errorf(schema.CodeUnavailable, "effect %s is not found, and its call may still be worked on; it is looked up again", ef.ID)
	}
	return nil, nil, nil // Absent, and that is proven.
}

// wrongLookup marks a lookup that no repetition mends.
const wrongLookup = "lookup"

// ask makes the lookup: its input, its read, and what that tells.
func (e *Executor) ask(ctx context.Context, s *scope, a *attempt, ef store.Effect) (json.RawMessage, *problem, error) {
	how := a.conn.Lookup
	wrong := &problem{Type: wrongLookup}
	info, p := e.action(a.in.Connector, how.Action, a.conn)
	if p != nil {
		return nil, wrong, nil
	}
	vars := map[string]string{lookupKey: lookupKey, lookupInput: lookupInput}
	known := map[string]json.RawMessage{lookupKey: mustJSON(ef.IdempotencyKey), lookupInput: a.in.Input}
	with := how.With
	if len(with) == 0 {
		with = json.RawMessage("{}")
	}
	input, err := e.evaluateOne(ctx, s, known, evaluate.Eval{To: lookupFound, Template: with, Vars: vars})
	if err != nil || input == nil {
		return nil, wrong, err
	}
	if writes(a.in.Connector, info, input) {
		return nil, wrong, nil // A question must change nothing.
	}
	q := &attempt{e: e, st: s.st, conn: a.conn, in: host.Invocation{
		Connector: a.in.Connector, Action: how.Action, Settings: a.in.Settings, Input: input,
	}}
	q.safeOnly, q.gate = info.Effect != sdk.EffectRead, a.gate
	answer, err := q.invoke(ctx)
	if l := s.refused(q, err); l != nil {
		s.excuse()
		return nil, nil, l
	}
	if err != nil {
		if p := reported(err); p != nil {
			return nil, p, nil
		}
		return nil, nil, err
	}
	known[lookupOut] = answer
	found, err := e.evaluateOne(ctx, s, known, evaluate.Eval{To: lookupFound, Template: mustJSON(how.Found), On: lookupOut, Vars: vars})
	if err != nil || found == nil {
		return nil, wrong, err
	}
	if bytes.Equal(bytes.TrimSpace(found), []byte("null")) {
		return nil, nil, nil
	}
	return found, nil, nil
}

// evaluateOne evaluates one template of a lookup; nil when it cannot be.
func (e *Executor) evaluateOne(ctx context.Context, s *scope, values map[string]json.RawMessage, ev evaluate.Eval) (json.RawMessage, error) {
	r, err := e.cfg.Evaluator.Eval(ctx, evaluate.Batch{Values: values, Evals: []evaluate.Eval{ev}, Now: seconds(s.started)})
	if schema.CodeOf(err) == schema.CodeTooLarge || r.Fault != nil {
		return nil, nil
	}
	return r.Values[ev.To], err
}
