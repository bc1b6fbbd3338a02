package activities

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/crash"
	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/store"
)

// maxRepeats bounds how often one step asks again for an effect with an
// unknown outcome, before a person is asked. What a flow retries by a policy of
// its own is bounded by that.
const maxRepeats = 12

// other marks the key of an effect that was asked for in the place of another
// one, which is settled.
const other = "'"

// askedAs is what all effects of one place have in common, whatever their keys. A
// task's own name may end like the key of one in another's place.
func askedAs(effect string) string { return strings.TrimRight(effect, other) }

// outcome is what the ledger keeps of a settled effect, sealed.
type outcome struct {
	Output  json.RawMessage `json:"output,omitempty"`
	Problem *problem        `json:"problem,omitempty"`
	// Policy is the connection's, when it had a part in this.
	Policy string `json:"policy,omitempty"`
}

// kept are effects as the ledger keeps them: without the keys that follow from the run.
func (e *Executor) kept(run string, effects []store.Effect) []store.Effect {
	out := slices.Clone(effects)
	for i, ef := range out {
		if ef.IdempotencyKey == schema.IdempotencyKey(e.cfg.Organization, run, ef.Key) {
			out[i].IdempotencyKey = ""
		}
	}
	return out
}

// errKeyless is the error of a request for an effect that was not read as one is: what
// would be sent without its key could be done twice.
var errKeyless = schema.Errorf(schema.CodeInternal, "an effect has no idempotency key")

// read is an effect of the ledger, with its key.
func (e *Executor) read(ef store.Effect) store.Effect {
	ef.IdempotencyKey = ef.Sent(e.cfg.Organization)
	return e.observed(ef)
}

// means are the ways in which an effect with an unknown outcome can be settled
// without a person.
type means struct {
	// keyed: the target honours idempotency keys, so that repeating is safe.
	keyed bool
	// lookup: the target can be asked.
	lookup bool
	// harmless: it does not, but repeating is safe by the connection's policy.
	harmless bool
}

// decision is what the ledger allows for an effect that is asked for.
type decision struct {
	// settled: the effect happened already, or was resolved; do not call.
	settled *outcome
	// uncertain: nobody can tell whether it happened; the policy says, or a person.
	uncertain bool
	// other: another question than what became of a call; a person says.
	other bool
	// begun: an earlier call may have had the effect. repeat it with its key, or
	// look it up first, as the means are.
	begun  bool
	effect store.Effect
}

// decide looks an effect up before its call (invariant 7).
func (e *Executor) decide(st *runState, step string, asked store.Effect, can means) (decision, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	happened := false
	prior, inherited, ok := st.prior(asked.Key, asked.Run)
	for ok && !bytes.Equal(prior.Digest, asked.Digest) {
		// Something else is asked for now in the same place. Of an effect that is
		// settled it is another one, with a key of its own.
		switch prior.State {
		case store.EffectFailed:
		case store.EffectDone, store.EffectResolved:
			happened = true
		default:
			return decision{effect: prior, other: true}, nil
		}
		asked.Key += other
		prior, inherited, ok = st.prior(asked.Key, asked.Run)
	}
	if !ok {
		asked.ID = schema.NewID(schema.PrefixEffect)
		root := asked.Run
		if st.lineage != nil && st.lineage.root != "" {
			root = st.lineage.root
		}
		asked.IdempotencyKey = schema.IdempotencyKey(e.cfg.Organization, root, asked.Key)
		// Where the first has happened, a person says whether the other one is
		// wanted as well: it may be the same in other words.
		return decision{effect: asked, other: happened}, nil
	}
	d := decision{effect: prior}
	switch prior.State {
	case store.EffectDone, store.EffectResolved:
		o, err := e.openOutcome(prior)
		d.settled = &o
		return d, err
	case store.EffectFailed:
		// It is known not to have happened: it may be tried again.
	case store.EffectIntent:
		// A call was begun and no outcome was recorded: it may have happened.
		st.repeats[step]++
		// The call of an earlier run may still be under way in this process: what
		// the target says of it now proves nothing.
		ask := can.lookup && (!inherited || prior.Owner != e.cfg.Owner)
		d.begun, d.uncertain = true, !can.keyed && !ask || st.repeats[step] > maxRepeats
	case store.EffectUncertain:
		d.other = true // It was put before a person already.
	default:
		return d, schema.Errorf(schema.CodeInternal, "an effect is in no known state")
	}
	return d, nil
}

// intend makes the intent durable; the first byte leaves only after it. A run
// that is being ended takes no new intent.
func (e *Executor) intend(ctx context.Context, st *runState, ef *store.Effect) error {
	ef.State, ef.Epoch, ef.Owner, ef.UpdatedAt = store.EffectIntent, st.run.Epoch, e.cfg.Owner, e.now()
	ef.Attempts++
	err := e.commit(ctx, st, store.RunCommit{Effects: []store.Effect{*ef}})
	if err != nil {
		// Whether or not the row is there: nothing is sent. Asked for again, it
		// is the same effect, and known not to have happened.
		known := *ef
		known.State = store.EffectFailed
		st.mu.Lock()
		st.effects[ef.Key] = known
		st.settled = append(st.settled, known)
		st.mu.Unlock()
	}
	return err
}

// settleEffect queues an effect's outcome for the transaction of its step.
func (e *Executor) settleEffect(st *runState, ef store.Effect, state string, o outcome) error {
	plain, err := json.Marshal(o)
	if err != nil {
		return schema.Errorf(schema.CodeInternal, "an effect's outcome does not encode: %w", err)
	}
	ef.State, ef.UpdatedAt = state, e.now()
	ef.OutcomeSealed = e.seal(place.Effect(e.cfg.Organization, ef.ID), plain)
	st.mu.Lock()
	st.settled = append(st.settled, ef)
	st.effects[ef.Key] = ef
	// What is done stays as it is; what a person or a policy resolved is not relied on.
	if state == store.EffectDone {
		st.done[askedAs(ef.Key)] = outputOf{ef.Key, o.Output}
	}
	st.mu.Unlock()
	return nil
}

// outputs tells the output of one of the run's effects, by its key.
func (e *Executor) outputs(effects []store.Effect) func(string) (json.RawMessage, error) {
	places := make(map[string]int, len(effects))
	for i, ef := range effects {
		places[ef.Key] = i
	}
	return func(key string) (json.RawMessage, error) {
		i, ok := places[key]
		if !ok {
			return nil, schema.Errorf(schema.CodeInternal, "a journalled step names an effect that is not in the ledger")
		}
		o, err := e.openOutcome(effects[i])
		return o.Output, err
	}
}

func (e *Executor) openOutcome(ef store.Effect) (outcome, error) {
	var o outcome
	plain, err := e.unseal(place.Effect(e.cfg.Organization, ef.ID), ef.OutcomeSealed)
	if err != nil {
		// Not the run's own fault: a flow that went on would ask for the next
		// effect as if this one had not happened.
		return o, schema.Errorf(schema.CodeInternal, "the outcome of effect %s does not open: %w", ef.ID, err)
	}
	if err := json.Unmarshal(plain, &o); err != nil {
		return o, schema.Errorf(schema.CodeInternal, "an effect's outcome does not parse: %w", err)
	}
	return o, nil
}

// park stops the run in uncertain: a person or a policy resolves it.
func (e *Executor) park(ctx context.Context, st *runState, ef store.Effect) error {
	ef.State, ef.UpdatedAt = store.EffectUncertain, e.now()
	err := e.commit(ctx, st, store.RunCommit{
		Effects: []store.Effect{ef},
		End:     &store.RunEnd{State: store.RunUncertain, ErrorType: "uncertain", At: e.now()},
		Audit:   []store.AuditDraft{{Actor: st.run.ID, Action: "run.uncertain", Target: ef.ID, Namespace: st.run.Namespace}},
		Alerts:  []store.Alert{alertOf(store.AlertUncertain, st.run.Namespace, st.run.Flow, st.run.ID)},
	})
	if err != nil {
		return err
	}
	crash.At(crash.RunParked)
	e.cfg.Alerted()
	e.cfg.Logger.WarnContext(ctx, "a run stopped: it is not known whether an effect happened", "run", st.run.ID, "effect", ef.ID)
	e.drop(st)
	return errStopped
}

// Resolve gives an uncertain effect the outcome that a person decided on.
func (e *Executor) Resolve(ef *store.Effect, decided string, output json.RawMessage) error {
	var o outcome
	switch decided {
	case config.OutcomeDone:
		ef.State, o.Output = store.EffectResolved, output
		if len(output) == 0 {
			o.Output = json.RawMessage("null")
		}
	case config.OutcomeFailed:
		ef.State = store.EffectResolved
		o.Problem = &problem{Type: flow.TypeCommunication, Title: "The effect did not happen", Detail: "resolved by a person as failed"}
	case config.OutcomeRetry:
		ef.State = store.EffectFailed
	default:
		return schema.Errorf(schema.CodeInvalid, "an effect is resolved as done, failed or retry")
	}
	plain, err := json.Marshal(o)
	if err != nil {
		return schema.Errorf(schema.CodeInternal, "an effect's outcome does not encode: %w", err)
	}
	ef.UpdatedAt = e.now()
	ef.OutcomeSealed = e.seal(place.Effect(e.cfg.Organization, ef.ID), plain)
	return nil
}
