package activities

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/activities/evaluate"
	"github.com/tenonhq/tenon/activities/evaluate/jq"
	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/schema/store/storetest"
	"github.com/tenonhq/tenon/schema/task"
)

// counted counts the exchanges with evaluators.
type counted struct {
	Evaluator
	exchanges atomic.Int64
}

func (c *counted) Eval(ctx context.Context, b evaluate.Batch) (evaluate.Result, error) {
	c.exchanges.Add(1)
	return c.Evaluator.Eval(ctx, b)
}

// TestForesight: tasks in a row are evaluated in one exchange up to the next call, and
// come to what they come to one by one, whatever is in them.
func TestForesight(t *testing.T) {
	t.Parallel()
	const bill = `
  - bill:
      call: http
      with:
        method: post
        endpoint: { uri: /bills, authentication: { use: books } }
        body: { order: '${ .order }', supplier: '${ $context.supplier // "sup-100" }', currency: EUR, lines: [{ sku: A, description: b, quantity: 1, unit_price_cents: 1 }] }`
	for _, c := range []struct {
		name, do  string
		exchanges int64
	}{
		{"sets", `
  - a: { set: { n: 1, order: '${ .order }' } }
  - b: { set: { n: '${ .n + 1 }', order: '${ .order }' } }
  - c: { set: { n: '${ .n + 1 }', order: '${ .order + $workflow.input.order }' } }`, 1},
		{"sets and a call", `
  - a: { set: { order: '${ .order + "1" }' } }
  - b: { set: { order: '${ .order + "2" }' }, output: { as: '${ {order: .order, was: $input} }' } }` + bill, 1},
		{"between calls", bill + `
      export: { as: '${ {supplier: "sup-200", number: .number} }' }
  - map: { set: { order: '${ "next-" + $context.number }' }, export: { as: '${ $context + {mapped: .order} }' } }
  - skipped: { if: '${ $context.mapped == "never" }', set: { order: never } }
  - after: { set: { order: '${ .order + "-" + $context.supplier }' } }` + strings.Replace(bill, "- bill:", "- second:", 1), 3},
		{"conditions", `
  - a: { set: { order: '${ .order }', n: 1 } }
  - b: { if: '${ .n == 1 }', set: { order: b }, input: { from: '${ {n: .n} }', schema: { format: json, document: { required: [n] } } } }
  - c: { if: '${ .n == 1 }', set: { order: c } }`, 1},
		{"a fault to come", `
  - a: { set: { order: '${ .order }' } }
  - b: { set: { order: '${ .order + 1 }' } }
  - c: { set: { order: c } }`, 2},
		{"a schema that is not met", `
  - a: { set: { n: 1 } }
  - b: { set: { order: 1 }, output: { schema: { format: json, document: { required: [none] } } } }`, 2},
		{"what JSON does not tell", `
  - a: { set: { n: '${ nan }', i: '${ infinite }', big: '${ 100000000000000000000 }', f: '${ 3.0 }', o: '${ {b: 1, a: 2} }' } }
  - b: { set: { n: '${ .n == null }', i: '${ .i | isinfinite }', big: '${ .big | tostring }', f: '${ .f | tostring }', o: '${ .o | keys }' } }`, 1},
		{"time and the task itself", `
  - a: { set: { order: '${ .order }' } }
  - b: { set: { order: '${ .order }', at: '${ now > 0 }' } }
  - c: { set: { order: '${ $task.name }' } }`, 3},
		{"one that spins", `
  - a: { set: { order: '${ .order }' } }
  - b: { set: { order: '${ last(range(1e9)) }' } }`, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			each(t, ledger.None, func(r *rig) {
				doc := r.deploy("\ndo:" + c.do)
				var answers [2]string
				for i := range answers {
					p := r.process()
					n := &counted{Evaluator: p.cfg.Evaluator}
					p.cfg.Evaluator = n
					pinned, err := p.plan(doc.Digest)
					require.NoError(r, err)
					pinned.apart.Store(i == 1)
					asked := r.start(doc, `{"order":"O-1"}`)
					res, err := p.local(asked.inOrder())
					require.NoError(r, err)
					answers[i] = told(asked, res)
					if i == 0 {
						require.Equal(r, c.exchanges, n.exchanges.Load())
					}
				}
				require.Equal(r, answers[1], answers[0])
			})
		})
	}
}

// fragile ends, as its process would, with every batch that has the text.
type fragile struct {
	Evaluator
	text string
}

func (f fragile) Eval(ctx context.Context, b evaluate.Batch) (evaluate.Result, error) {
	for _, ev := range b.Evals {
		if strings.Contains(string(ev.Template), f.text) {
			return evaluate.Result{Fault: &evaluate.Fault{Type: jq.FaultRuntime, Detail: "its process ended"}}, nil
		}
	}
	return f.Evaluator.Eval(ctx, b)
}

// TestForesightOfABomb: an expression that ends its evaluator is its own task's fault,
// not that of the task before it, and is not met twice in each run.
func TestForesightOfABomb(t *testing.T) {
	t.Parallel()
	each(t, ledger.None, func(r *rig) {
		doc := r.deploy(`
do:
  - a: { set: { order: '${ .order }' } }
  - b: { set: { order: '${ "bomb" }' } }`)
		p := r.process()
		n := &counted{Evaluator: fragile{p.cfg.Evaluator, "bomb"}}
		p.cfg.Evaluator = n
		for _, exchanges := range []int64{3, 5} {
			asked := r.start(doc, `{"order":"O-1"}`)
			res, err := p.local(asked.inOrder())
			require.NoError(r, err)
			require.Nil(r, res.Fault)
			require.Len(r, res.Following, 1)
			require.Equal(r, "/do/1/b", res.Following[0].Fault.Instance)
			require.Equal(r, exchanges, n.exchanges.Load())
		}
	})
}

// TestForesightCountsWhatItKeeps: what tasks to come evaluate to is not kept with the
// values of the task before them.
func TestForesightCountsWhatItKeeps(t *testing.T) {
	r := newRig(t, storetest.SQLite(t), ledger.None)
	doc := r.deploy(`
do:
  - a: { set: { order: '${ .order }' } }
  - b: { input: { from: '${ "x" * 4000000 }' }, set: '${ error("never mind") }' }`)
	p, n := r.process(), r.start(doc, `{"order":"O-1"}`)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	require.NoError(t, p.Prime(n.Run, n.event, nil))
	before := heap()
	const visits = 30
	for i := range visits {
		q := n.inOrder()
		q.Finishes = false
		q.Key += fmt.Sprint("#", i)
		q.Following[0].Key += fmt.Sprint("#", i)
		res, err := p.unrecalled(q, true)
		require.NoError(t, err)
		require.NotNil(t, res.Following[0].Fault)
	}
	require.Less(t, heap(), before+visits*4_000_000/4)
}

// inOrder asks for all tasks of the run's document at once.
func (n *run) inOrder() task.StepRequest {
	q := task.StepRequest{}
	for i, t := range n.doc.Do {
		if i == 0 {
			q = n.whole(t.Pointer)
			continue
		}
		f := task.Following{Key: t.Pointer, Pointer: t.Pointer}
		if t.Call != nil {
			f.Effect = t.Pointer
		}
		q.Following = append(q.Following, f)
	}
	q.Finishes = true
	return q
}

var billNumber = regexp.MustCompile(`B-\d+`)

// told is what became of a run, without what is another one's each time.
func told(n *run, res task.StepResult) string {
	n.rig.Helper()
	text, err := json.MarshalIndent([]any{res, n.records(), n.row().State, n.row().ErrorType}, "", " ")
	require.NoError(n.rig, err)
	return billNumber.ReplaceAllString(string(text), "B")
}
