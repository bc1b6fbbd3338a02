package activities

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/pack"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

func (r *rig) decided(outcome, output string) {
	r.Helper()
	r.owner(func(c *config.Connection) {
		c.Uncertain = &config.Uncertain{Outcome: outcome, Output: json.RawMessage(output)}
	})
}

// policies are the details of the entries about policies that were applied.
func (r *rig) policies() []string {
	r.Helper()
	entries, err := r.cell.Work().ListAudit(r.Context(), store.AuditFilter{Limit: 100})
	require.NoError(r, err)
	var out []string
	for _, e := range entries {
		if e.Action != "effect.policy" {
			continue
		}
		plain, err := r.data.Open(place.Audit(r.org, store.ChainWork), e.Detail)
		require.NoError(r, err)
		var detail struct{ Policy, Connection string }
		require.NoError(r, json.Unmarshal(plain, &detail))
		require.Equal(r, r.conn.ID, detail.Connection)
		require.True(r, strings.HasPrefix(e.Actor, "run_"))
		out = append(out, detail.Policy)
	}
	return out
}

// settled is what the ledger keeps of the run's one effect.
func (n *run) settled() outcome {
	n.rig.Helper()
	effects := n.effects()
	require.Len(n.rig, effects, 1)
	plain, err := n.rig.data.Open(place.Effect(n.rig.org, effects[0].ID), effects[0].OutcomeSealed)
	require.NoError(n.rig, err)
	plain, err = pack.Unpack(plain)
	require.NoError(n.rig, err)
	var o outcome
	require.NoError(n.rig, json.Unmarshal(plain, &o))
	return o
}

// TestPolicies: the answer of a system that knows no keys and cannot be asked is
// lost, after it acted. What then is the connection's owner's word, given before;
// it is on the record and in the ledger, and without it a person is asked.
func TestPolicies(t *testing.T) {
	t.Parallel()
	each(t, ledger.None, func(r *rig) {
		p := r.process()
		lost := func(id string) *run {
			require.NoError(r, r.book.Control(ledger.Control{Count: 1, Drop: true, When: ledger.After}))
			return r.order(id, "books")
		}
		r.decided(config.UncertainDone, `{"number":"by policy"}`)
		n := lost("O-1")
		res := p.done(n.whole(billTask))
		require.Nil(r, res.Fault)
		require.JSONEq(r, `{"number":"by policy"}`, p.value(n, res.Output))
		require.Equal(r, store.EffectResolved, n.effects()[0].State)
		require.Equal(r, config.UncertainDone, n.settled().Policy)
		require.Equal(r, []string{"done"}, r.policies(), "in the transaction of the step")

		r.decided(config.UncertainFailed, "")
		n = lost("O-2")
		res = p.done(n.whole(billTask))
		require.NotNil(r, res.Fault)
		require.Equal(r, config.UncertainFailed, n.settled().Policy)
		require.NotNil(r, p.done(again(n.whole(billTask), 1)).Fault, "a try does not repeat it")
		require.EqualValues(r, 2, r.book.Stats().Creations)
		require.Equal(r, []string{"failed", "done"}, r.policies())

		r.decided(config.UncertainAsk, "")
		n = lost("O-3")
		require.True(r, p.done(n.whole(billTask)).Stopped)
		require.Equal(r, store.RunUncertain, n.row().State)

		// What stopped for a person stays with the person, whatever is decided later.
		r.decided(config.UncertainDone, "")
		require.True(r, p.done(n.whole(billTask)).Stopped)
		require.Equal(r, store.EffectUncertain, n.effects()[0].State)
		require.Len(r, r.policies(), 2)
	})
}

// TestPolicyAfterDeath: the owner of the call died, and left an intent.
func TestPolicyAfterDeath(t *testing.T) {
	t.Parallel()
	for policy, want := range map[string]struct {
		creations int64
		state     string
	}{
		config.UncertainDone:   {0, store.EffectResolved},
		config.UncertainFailed: {0, store.EffectResolved},
		config.UncertainRepeat: {1, store.EffectDone},
		config.UncertainAsk:    {0, store.EffectUncertain},
	} {
		t.Run(policy, func(t *testing.T) {
			each(t, ledger.None, func(r *rig) {
				r.decided(policy, "")
				model, n := r.order("O-1", "books"), r.order("O-1", "books")
				require.Nil(r, r.process().done(model.whole(billTask)).Fault)
				before := r.book.Stats().Creations
				left := model.effects()[0]
				left.ID, left.Run, left.State, left.OutcomeSealed = left.ID+"x", n.ID, store.EffectIntent, nil
				left.IdempotencyKey = schema.IdempotencyKey(r.org, n.ID, left.Key)
				require.NoError(r, r.cell.Work().Commit(r.Context(), store.RunCommit{
					Run: n.ID, Carrier: n.Carrier, Epoch: n.Epoch, State: store.RunRunning, Effects: []store.Effect{left},
				}))
				n = n.taken()
				p := r.process()
				p.done(n.whole(billTask))
				require.Equal(r, before+want.creations, r.book.Stats().Creations)
				require.Equal(r, want.state, n.effects()[0].State)
				if policy == config.UncertainAsk {
					require.Empty(r, r.policies())
				} else {
					require.Equal(r, []string{policy}, r.policies())
					require.Equal(r, policy, n.settled().Policy)
				}
			})
		})
	}
}

// TestRepeatByPolicy: what is harmless to repeat is repeated until it is known, and
// each time is on the record.
func TestRepeatByPolicy(t *testing.T) {
	t.Parallel()
	r := newRig(t, storetest.SQLite(t), ledger.None)
	r.decided(config.UncertainRepeat, "")
	n, p := r.order("O-1", "books"), r.process()
	require.NoError(t, r.book.Control(ledger.Control{Count: 2, Drop: true, When: ledger.After}))
	for range 2 {
		_, err := p.step(n.whole(billTask))
		require.Error(t, err, "the engine asks again")
	}
	require.Nil(t, p.done(n.whole(billTask)).Fault)
	require.EqualValues(t, 3, r.book.Stats().Creations)
	require.Equal(t, []string{"repeat", "repeat"}, r.policies())
	require.Equal(t, config.UncertainRepeat, n.settled().Policy)

	// A system that knows no keys says by 409 that it has one, not that it works on it.
	n = r.order("O-2", "books")
	require.NoError(t, r.book.Control(ledger.Control{Count: 1, Drop: true, When: ledger.After}))
	_, err := p.step(n.whole(billTask))
	require.Error(t, err)
	require.NoError(t, r.book.Control(ledger.Control{Count: 1, Fail: 409}))
	require.Equal(t, 409, p.done(n.whole(billTask)).Fault.Status)
}

// TestPolicyIsNoGuess: another request in the place of one whose outcome is not
// known, and one in the place of one that is done, are other questions: a person's.
func TestPolicyIsNoGuess(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{config.UncertainDone, config.UncertainFailed, config.UncertainRepeat} {
		t.Run(policy, func(t *testing.T) {
			r := newRig(t, storetest.SQLite(t), ledger.None)
			r.decided(policy, "")
			p := r.process()
			n := r.order("O-1", "books")
			require.Nil(t, p.done(n.whole(billTask)).Fault)
			st, err := p.state(t.Context(), n.owner(), true)
			require.NoError(t, err)
			for _, state := range []string{store.EffectDone, store.EffectIntent, store.EffectUncertain} {
				ef := st.effects[billTask]
				ef.State = state
				st.effects[billTask] = ef
				asked := ef
				asked.Digest = schema.Digest([]byte("another request"))
				d, err := p.decide(st, billTask, asked, means{keyed: policy == config.UncertainRepeat, harmless: policy == config.UncertainRepeat})
				require.NoError(t, err)
				require.True(t, d.other, state)
				require.False(t, d.uncertain)
			}
		})
	}
}

// TestReplayOfAPolicy: a policy took an effect for not done, and knew nothing. Its
// replay with the same effects does not send it as if somebody had known.
func TestReplayOfAPolicy(t *testing.T) {
	t.Parallel()
	each(t, ledger.None, func(r *rig) {
		p := r.process()
		r.decided(config.UncertainFailed, "")
		require.NoError(r, r.book.Control(ledger.Control{Count: 1, Drop: true, When: ledger.After}))
		n := r.order("O-1", "books")
		require.NotNil(r, p.done(n.whole(billTask)).Fault)
		require.Equal(r, 1, r.book.Stats().Bills)
		r.decided(config.UncertainAsk, "")
		same := n.replayed(true)
		require.NoError(r, p.Prime(same.Run, same.event, nil))
		require.True(r, p.done(same.whole(billTask)).Stopped)
		require.Equal(r, store.RunUncertain, same.row().State)
		require.EqualValues(r, 1, r.book.Stats().Creations)
	})
}
