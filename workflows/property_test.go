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
	if first, ok := First(c.doc, ownerOf(in)); ok && !recall {
		require.NotNil(t, c.first)
		assert.Equal(t, first, *c.first, "what may be performed before the carrier asks")
	}
	// A task costs at most a timeout, an expiry, an entry, an item or a catch, and a leave.
	assert.LessOrEqual(t, len(c.order), 5*bound+5)
	if !c.stopped {
		assert.Len(t, c.finished, 1)
	}
}

// ownerOf is the owner of the first of a carrier's runs.
func ownerOf(in task.CarrierInput) task.Owner {
	return task.Owner{Carrier: in.Carrier, Run: in.Runs[0].Run, Epoch: in.Runs[0].Epoch, Digest: in.Runs[0].Digest}
}

// TestFirst: the first request of a run is known where it does not depend on anything
// but the document. That it is what a carrier asks, [FuzzInterpreter] holds.
func TestFirst(t *testing.T) {
	for text, following := range map[string]int{
		"do: [{a: {set: {x: 1}}}, {b: {call: http, with: {method: get, endpoint: {uri: 'https://a.example'}}}}, {c: {set: {y: 1}}}]": 2,
		"do: [{a: {set: {x: 1}}}, {b: {wait: {seconds: 1}}}]":                                                                        0,
		"do: [{a: {set: {x: 1}, then: end}}]":                                                                                        -1,
		"do: [{a: {wait: {seconds: 1}}}, {b: {set: {x: 1}}}]":                                                                        -1,
		"do: [{a: {set: {x: 1}, timeout: {after: {seconds: 1}}}}]":                                                                   -1,
		"timeout: {after: {seconds: 1}}\ndo: [{a: {set: {x: 1}}}]":                                                                   -1,
		"input: {from: '${ .body }'}\ndo: [{a: {set: {x: 1}}}]":                                                                      -1,
	} {
		lib, digest := parse(t, "document: {dsl: '1.0.3', namespace: t, name: t, version: '1.0.0'}\n"+text)
		req, ok := First(lib[digest], task.Owner{Run: "run"})
		require.Equal(t, following >= 0, ok, text)
		if ok {
			assert.Len(t, req.Following, following, text)
			assert.Equal(t, following > 0, req.Finishes, text)
			assert.Equal(t, "/do/0/a", req.Pointer)
			assert.Equal(t, task.RunInput, req.Input)
		}
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
