package activities

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/testsuite"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
	"github.com/tenonhq/tenon/schema/task"
	"github.com/tenonhq/tenon/workflows"
)

// carry carries the run with the real interpreter, in virtual time.
func (p *process) carry(n *run) {
	p.rig.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quietLogger{})
	env := suite.NewTestWorkflowEnvironment()
	env.SetWorkflowRunTimeout(10 * 365 * 24 * time.Hour)
	env.SetTestTimeout(2 * patience)
	workflows.Register(env, p.Executor)
	env.RegisterActivityWithOptions(p.Step, activity.RegisterOptions{Name: task.Step})
	env.RegisterActivityWithOptions(p.Stretches, activity.RegisterOptions{Name: task.Stretches})
	env.RegisterActivityWithOptions(p.Finish, activity.RegisterOptions{Name: task.Finish})
	env.RegisterActivityWithOptions(p.Recall, activity.RegisterOptions{Name: task.Recall})
	recall := n.Epoch > 1
	if !recall {
		require.NoError(p.rig, p.Prime(n.Run, n.event, nil))
	}
	env.ExecuteWorkflow(task.Carrier, task.CarrierInput{
		Organization: p.rig.org, Carrier: n.Carrier, Interpreter: task.InterpreterVersion,
		Runs: []task.RunRef{{Run: n.ID, Digest: n.Digest, Epoch: n.Epoch, Recall: recall}},
	})
	require.True(p.rig, env.IsWorkflowCompleted())
	require.NoError(p.rig, env.GetWorkflowError())
}

const retried = `
do:
  - make:
      try:
        - bill:
            call: http
            with:
              method: post
              endpoint: { uri: /bills, authentication: { use: books } }
              body: { order: '${ .order }', supplier: sup-100, currency: EUR, lines: [{ sku: A, description: b, quantity: 1, unit_price_cents: 1 }] }
            output: { as: '${ {number: .number} }' }
      catch:
        errors: { with: { type: https://open-workflow-specification.org/spec/1.0.0/errors/communication } }
        retry: { delay: PT10S, backoff: { exponential: {} }, limit: { attempt: { count: 5 } } }
`

// TestCarriedRetries walks flows with the real interpreter against a system
// that fails: by the flow's own policy, and by the platform's.
func TestCarriedRetries(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mode    ledger.Mode
		control ledger.Control
		state   string
		bills   int
	}{
		"5xx after the record": {ledger.Keys, ledger.Control{Count: 3, Fail: 503, When: ledger.After}, store.RunCompleted, 1},
		"dropped":              {ledger.Keys, ledger.Control{Count: 2, Drop: true, When: ledger.After}, store.RunCompleted, 1},
		"looked up":            {ledger.Lookup, ledger.Control{Count: 1, Drop: true, When: ledger.After}, store.RunCompleted, 1},
		"refused, then not":    {ledger.None, ledger.Control{Count: 2, Fail: 429}, store.RunCompleted, 1},
		"given up":             {ledger.Keys, ledger.Control{Count: 9, Fail: 503}, store.RunFailed, 0},
		"nobody knows":         {ledger.None, ledger.Control{Count: 1, Fail: 503, When: ledger.After}, store.RunUncertain, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, storetest.SQLite(t), c.mode)
			require.NoError(t, r.book.Control(c.control))
			n := r.start(r.deploy(retried), `{"order":"O-1"}`)
			require.False(t, n.Straight, "it pauses for long")
			p := r.process()
			p.carry(n)
			require.Equal(t, c.state, n.row().State)
			require.Equal(t, c.bills, r.book.Stats().Bills)
			require.Zero(t, r.book.Stats().Duplicates)
			require.Empty(t, p.runs)
			for _, ef := range n.effects() {
				require.NotEqual(t, store.EffectIntent, ef.State, "the ledger of an ended run is settled")
			}
		})
	}
}

// TestCarriedTimeout: the document's timeout ends the run in the middle of a
// call; the ledger says what became of it.
func TestCarriedTimeout(t *testing.T) {
	t.Parallel()
	each(t, ledger.None, func(r *rig) {
		require.NoError(r, r.book.Control(ledger.Control{Count: 1, StallMS: 5000}))
		n := r.start(r.deploy("\ntimeout: { after: { seconds: 2 } }"+billFlow), `{"order":"O-1"}`)
		r.process().carry(n)
		require.Equal(r, store.RunFailed, n.row().State)
		require.Equal(r, flow.TypeTimeout, n.row().ErrorType)
		require.Equal(r, 1, r.book.Stats().Bills)
		require.Equal(r, store.EffectDone, n.effects()[0].State)
	})
}

// TestCarriedAgain: a run that was taken over goes through its journal and does
// nothing again.
func TestCarriedAgain(t *testing.T) {
	t.Parallel()
	each(t, ledger.None, func(r *rig) {
		n := r.start(r.deploy(billFlow+"  - pause: { wait: P1D }\n  - last: { set: { number: '${ .number }' } }\n"), `{"order":"O-1"}`)
		first := r.process()
		require.Nil(r, first.done(n.whole(billTask)).Fault)
		n = n.taken()
		second := r.process()
		second.carry(n)
		require.Equal(r, store.RunCompleted, n.row().State)
		require.JSONEq(r, `{"number":"B-000001"}`, string(n.result().Output))
		require.EqualValues(r, 1, r.book.Stats().Creations)
	})
}
