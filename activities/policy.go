package activities

import (
	"context"
	"encoding/json"

	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/store"
)

// policy is what the connection's owner decided for effects with an unknown outcome.
func (c connection) policy() string {
	if c.Uncertain == nil {
		return config.UncertainAsk
	}
	return c.Uncertain.Outcome
}

// unknown settles an effect of which nobody can find out whether it happened: by
// the connection's policy, or by asking a person. Invariant 7: it never guesses, a
// policy is an instruction that was given before, and it is on the record.
func (e *Executor) unknown(ctx context.Context, st *runState, conn connection, ef store.Effect) (json.RawMessage, *problem, error) {
	o := outcome{Policy: conn.policy()}
	switch o.Policy {
	case config.UncertainDone:
		if o.Output = conn.Uncertain.Output; len(o.Output) == 0 {
			o.Output = json.RawMessage("null")
		}
	case config.UncertainFailed:
		o.Problem = &problem{
			Type: flow.TypeCommunication, Title: "It is not known whether the effect happened",
			Detail: "by the policy of its connection it is taken for not done, and is not repeated",
		}
	default:
		return nil, nil, e.park(ctx, st, ef)
	}
	e.applied(st, conn, ef)
	e.cfg.Logger.WarnContext(ctx, "a policy settled an effect of which it is not known whether it happened", "run", st.run.ID, "effect", ef.ID, "policy", o.Policy)
	return o.Output, o.Problem, e.settleEffect(st, ef, store.EffectResolved, o)
}

// applied records that a connection's policy decided about an effect, in the
// transaction of what follows from it (invariant 8).
func (e *Executor) applied(st *runState, conn connection, ef store.Effect) {
	d := e.custody.draft("effect.policy", ef.ID, st.run.Namespace, map[string]any{"policy": conn.policy(), "connection": conn.row.ID})
	d.Actor = st.run.ID
	st.mu.Lock()
	defer st.mu.Unlock()
	st.audit = append(st.audit, d)
}
