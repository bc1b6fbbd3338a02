package workflows

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/workflow"

	"github.com/tenonhq/tenon/schema/task"
)

// bound is the number of steps a random document's run may take.
const bound = 150

// play walks a document with random answers to its end.
func (c *chaos) play(t *testing.T, recall bool) {
	t.Helper()
	lib := library{c.doc.Digest: c.doc}
	env := environment(lib, performer{step: c.Step, finish: c.Finish, recall: c.Recall})
	env.RegisterWorkflowWithOptions((&interpreter{library: lib, bound: bound, handover: handoverAfter}).carry,
		workflow.RegisterOptions{Name: task.Carrier, DisableAlreadyRegisteredCheck: true})
	in := carrying(c.doc.Digest, "run")
	in.Runs[0].Recall = recall
	env.ExecuteWorkflow(task.Carrier, in)
	require.True(t, env.IsWorkflowCompleted())
	require.NoError(t, env.GetWorkflowError())
	assert.Empty(t, c.wrong)
	// A task costs at most a timeout, an expiry, an entry, an item or a catch, and a leave.
	assert.LessOrEqual(t, len(c.order), 5*bound+5)
	if !c.stopped {
		assert.Len(t, c.finished, 1)
	}
}

func documentOf(seed uint64, timeouts bool) *generator {
	return &generator{Rand: rand.New(rand.NewPCG(seed, 1)), timeouts: timeouts}
}

// FuzzInterpreter: whatever the document and whatever the answers, the
// interpreter does not panic, never asks two things under one key, ends the run
// exactly once, and within the bound.
func FuzzInterpreter(f *testing.F) {
	for seed := range uint64(60) {
		f.Add(seed, seed*7919)
	}
	f.Fuzz(func(t *testing.T, shape, answers uint64) {
		newChaos(answers, documentOf(shape, true).document()).play(t, false)
	})
}

// FuzzTakeover: a run whose carrier was lost at any point and that is walked
// again from its journal asks for nothing twice, and ends as it would have.
func FuzzTakeover(f *testing.F) {
	for seed := range uint64(60) {
		f.Add(seed, seed*104729, uint16(seed*31), seed%2 == 0)
	}
	f.Fuzz(func(t *testing.T, shape, answers uint64, cut uint16, timeouts bool) {
		doc := documentOf(shape, timeouts).document()
		first := newChaos(answers, doc)
		first.play(t, false)
		if first.stopped {
			return
		}

		second := newChaos(answers, doc)
		kept := first.order[:int(cut)%(len(first.order)+1)]
		for _, key := range kept {
			second.known[key], second.answered[key] = true, first.answered[key]
			second.requests[key] = first.requests[key]
		}
		second.order = append(second.order, kept...)
		second.play(t, true)
		if !timeouts {
			// With deadlines, what the journal does not hold may come out otherwise.
			assert.Equal(t, first.finished, second.finished)
			assert.Equal(t, first.order, second.order)
		}
	})
}
