package activities

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"

	"github.com/tenonhq/tenon/activities/evaluate"
)

// foreseen is what a task begins with (see [scope.opening]), evaluated with the task
// before it, since one exchange with an evaluator costs more than most expressions.
// An expression has no effects and no clock of its own: the same ones over the same
// values come to the same, so that it is taken where these are what it was made of.
type foreseen struct {
	evals []evaluate.Eval
	// given are the values that they were asked over, yields those they came to.
	given, yields map[string]json.RawMessage
	halted        bool
}

// expect keeps what was foreseen of the tasks whose evaluations were all done, or halted,
// and forgets what was foreseen before.
func (st *runState) expect(tasks []ahead, together evaluate.Batch, r evaluate.Result) {
	done := len(together.Evals)
	if r.Fault != nil || r.Halted {
		done = r.Failed
	}
	known := make(map[string]foreseen, len(tasks))
	for _, a := range tasks {
		halted := r.Halted && a.first <= done && done < a.end
		if done < a.end && !halted {
			break
		}
		f := foreseen{evals: a.batch.Evals, given: a.batch.Values, yields: make(map[string]json.RawMessage), halted: halted}
		for name, of := range map[string]string{valueRaw: a.output, valueContext: a.context} {
			v, ok := r.Values[of]
			if !ok {
				v = together.Values[of]
			}
			f.given[name] = v
		}
		for _, ev := range f.evals {
			if v, ok := r.Values[a.names[ev.To]]; ok && ev.To != "" {
				f.yields[ev.To] = v
			}
		}
		known[a.req.Key] = f
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.foreseen = known
}

// expected takes what was foreseen of a step.
func (st *runState) expected(key string) (foreseen, bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	f, ok := st.foreseen[key]
	delete(st.foreseen, key)
	return f, ok
}

// unexpect forgets what was foreseen: nothing of it comes next.
func (st *runState) unexpect() {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.foreseen = nil
}

// is tells whether a batch asks for what was foreseen: the same of the same values.
func (f foreseen) is(b evaluate.Batch) bool {
	for name, v := range b.Values {
		if given, ok := f.given[name]; !ok || !bytes.Equal(given, v) {
			return false
		}
	}
	return slices.EqualFunc(f.evals, b.Evals, func(x, y evaluate.Eval) bool {
		return x.To == y.To && x.On == y.On && x.Halt == y.Halt && bytes.Equal(x.Template, y.Template) &&
			bytes.Equal(x.Schema, y.Schema) && maps.Equal(x.Vars, y.Vars)
	})
}
