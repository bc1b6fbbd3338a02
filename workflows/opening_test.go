package workflows

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema/task"
)

// TestOpening: what a run is said to ask for first, is what it asks for first, to
// the word. A step that began under another key, or for another effect, would be
// done a second time when the run asks (invariant 7).
func TestOpening(t *testing.T) {
	t.Parallel()
	opened := 0
	for seed := range uint64(300) {
		doc := documentOf(seed, seed%2 == 0).document()
		in := carrying(doc.Digest, "run")
		said, ok := Opening(doc, in.Carrier, in.Runs[0])
		if !ok {
			continue
		}
		opened++
		var once sync.Once
		var asked task.StepRequest
		c := newChaos(seed, doc)
		env := environment(library{doc.Digest: doc}, performer{
			step: func(ctx context.Context, req task.StepRequest) (task.StepResult, error) {
				once.Do(func() { asked = req })
				return c.Step(ctx, req)
			},
			finish: c.Finish, recall: c.Recall,
		})
		env.ExecuteWorkflow(task.Carrier, in)
		require.True(t, env.IsWorkflowCompleted())
		assert.Equal(t, asked, said)
	}
	assert.Greater(t, opened, 20, "the documents had openings")
}

// TestOpeningIsTheDocumentsAlone: where something comes before the first task, or
// is not known before it, nothing is said.
func TestOpeningIsTheDocumentsAlone(t *testing.T) {
	t.Parallel()
	const head = "document: {dsl: '1.0.3', namespace: test, name: opening, version: '1.0.0'}\n"
	for name, text := range map[string]string{
		"an input":         head + "input: {from: '${ .a }'}\ndo:\n- a: {set: {x: 1}}\n",
		"a timeout":        head + "timeout: {after: PT1M}\ndo:\n- a: {set: {x: 1}}\n",
		"a task's timeout": head + "do:\n- a: {set: {x: 1}, timeout: {after: PT1M}}\n",
		"a wait":           head + "do:\n- a: {wait: {seconds: 1}}\n",
		"a jump":           head + "do:\n- a: {set: {x: 1}, then: end}\n- b: {set: {x: 2}}\n",
	} {
		lib, digest := parse(t, text)
		_, ok := Opening(lib[digest], "car_test", task.RunRef{Run: "run", Digest: digest, Epoch: 1})
		assert.False(t, ok, name)
	}
}
