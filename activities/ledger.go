package activities

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/store"
)

// maxEffectAttempts bounds how often an effect with an unknown outcome is
// repeated with its key before a person is asked.
const maxEffectAttempts = 12

// outcome is what the ledger keeps of a settled effect, sealed.
type outcome struct {
	Output  json.RawMessage `json:"output,omitempty"`
	Problem *problem        `json:"problem,omitempty"`
}

// idempotencyKey derives the key that the target sees. It depends on the run
// and the effect only, so that it is the same for every attempt, replay and restore.
func idempotencyKey(org, run, effect string) string {
	sum := digest([]byte("tenon idempotency key"), []byte(org), []byte(run), []byte(effect))
	return "tenon_" + base64.RawURLEncoding.EncodeToString(sum[:24])
}

// digest is SHA-256 over length-prefixed parts.
func digest(parts ...[]byte) []byte {
	h := sha256.New()
	var n [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write(p)
	}
	return h.Sum(nil)
}

// decision is what the ledger allows for an effect that is asked for.
type decision struct {
	// settled: the effect happened already, or was resolved; do not call.
	settled *outcome
	// uncertain: nobody can tell whether it happened; stop and ask.
	uncertain bool
	effect    store.Effect
}

// decide looks an effect up before its call (invariant 7). keyed says that the
// target honours idempotency keys, so that repeating is safe.
func (e *Executor) decide(st *runState, asked store.Effect, keyed bool) (decision, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	prior, ok := st.effects[asked.Key]
	for ok && prior.State == store.EffectFailed && !bytes.Equal(prior.Digest, asked.Digest) {
		// It is known not to have happened, and something else is asked for
		// now: that is another effect, with a key of its own.
		asked.Key += "'"
		prior, ok = st.effects[asked.Key]
	}
	if !ok {
		asked.ID, asked.CreatedAt = schema.NewID(schema.PrefixEffect), e.now()
		asked.IdempotencyKey = idempotencyKey(e.cfg.Organization, asked.Run, asked.Key)
		return decision{effect: asked}, nil
	}
	same := bytes.Equal(prior.Digest, asked.Digest)
	d := decision{effect: prior}
	switch prior.State {
	case store.EffectDone, store.EffectResolved:
		if !same {
			d.uncertain = true
			return d, nil
		}
		o, err := e.openOutcome(prior)
		d.settled = &o
		return d, err
	case store.EffectFailed:
		// It is known not to have happened: it may be tried again.
	case store.EffectIntent:
		// A call was begun and no outcome was recorded: it may have happened.
		d.uncertain = !same || !keyed || prior.Attempts >= maxEffectAttempts
	case store.EffectUncertain:
		d.uncertain = true
	default:
		return d, schema.Errorf(schema.CodeInternal, "an effect is in no known state")
	}
	return d, nil
}

// intend makes the intent durable; the first byte leaves only after it.
func (e *Executor) intend(ctx context.Context, st *runState, ef *store.Effect) error {
	ef.State, ef.Epoch, ef.Owner, ef.UpdatedAt = store.EffectIntent, st.run.Epoch, e.cfg.Owner, e.now()
	ef.Attempts++
	return e.commit(ctx, st, store.RunCommit{Effects: []store.Effect{*ef}})
}

// settleEffect queues an effect's outcome for the transaction of its step.
func (e *Executor) settleEffect(st *runState, ef store.Effect, state string, o outcome) error {
	plain, err := json.Marshal(o)
	if err != nil {
		return schema.Errorf(schema.CodeInternal, "an effect's outcome does not encode: %w", err)
	}
	ef.State, ef.UpdatedAt = state, e.now()
	ef.OutcomeSealed = e.cfg.Data.Seal(place.Effect(e.cfg.Organization, ef.ID), plain)
	st.mu.Lock()
	st.settled = append(st.settled, ef)
	st.mu.Unlock()
	return nil
}

func (e *Executor) openOutcome(ef store.Effect) (outcome, error) {
	var o outcome
	plain, err := e.cfg.Data.Open(place.Effect(e.cfg.Organization, ef.ID), ef.OutcomeSealed)
	if err != nil {
		return o, err
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
	})
	if err != nil {
		return err
	}
	e.cfg.Logger.WarnContext(ctx, "a run stopped: it is not known whether an effect happened", "run", st.run.ID, "effect", ef.ID)
	e.Forget(st.run.ID)
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
	ef.OutcomeSealed = e.cfg.Data.Seal(place.Effect(e.cfg.Organization, ef.ID), plain)
	return nil
}
