package evaluate_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/activities/evaluate"
	"github.com/tenonhq/tenon/schema/flow"
)

const header = "document: {dsl: 1.0.3, namespace: a, name: b, version: 0.1.0}\n"

func parse(t *testing.T, text string) *flow.Document {
	t.Helper()
	d, err := flow.Parse([]byte(header + text))
	require.NoError(t, err)
	return d
}

// TestEndpointTemplates: what stands in an input cannot lead a call to another
// host, path or query than the template says.
func TestEndpointTemplates(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, 1, time.Second)
	d := parse(t, "do: [{get: {call: http, with: {method: get, endpoint: 'https://example.com/v2/pet/{petId}?status={status}'}}}]\n")
	for input, want := range map[string]string{
		`{"petId":1,"status":"available"}`:               "https://example.com/v2/pet/1?status=available",
		`{"petId":"../admin","status":"a&b=c"}`:          "https://example.com/v2/pet/..%2Fadmin?status=a%26b%3Dc",
		`{"petId":"@evil.example/","status":"é #?\"\\"}`: "https://example.com/v2/pet/%40evil.example%2F?status=%C3%A9%20%23%3F%22%5C",
		`{"petId":"\\(1)","status":"${ .x }"}`:           "https://example.com/v2/pet/%5C%281%29?status=%24%7B%20.x%20%7D",
		`{"petId":"a..b","status":".."}`:                 "https://example.com/v2/pet/a..b?status=..",
		`{"petId":false,"status":0}`:                     "https://example.com/v2/pet/false?status=0",
	} {
		r, err := p.Eval(t.Context(), evaluate.Batch{
			Values: map[string]json.RawMessage{"in": json.RawMessage(input)},
			Evals:  []evaluate.Eval{{To: "with", On: "in", Template: d.Do[0].Call.With.JSON}},
		})
		require.NoError(t, err)
		require.Nil(t, r.Fault, input)
		var with struct{ Endpoint string }
		require.NoError(t, json.Unmarshal(r.Values["with"], &with))
		require.Equal(t, want, with.Endpoint)
	}
	for _, input := range []string{`{"petId":1}`, `{"petId":"..","status":1}`, `{"petId":".","status":1}`, `{"petId":"","status":1}`, `{"petId":null,"status":1}`, `[]`, `null`} {
		r, err := p.Eval(t.Context(), evaluate.Batch{
			Values: map[string]json.RawMessage{"in": json.RawMessage(input)},
			Evals:  []evaluate.Eval{{To: "with", On: "in", Template: d.Do[0].Call.With.JSON}},
		})
		require.NoError(t, err)
		require.NotNil(t, r.Fault, input)
		require.Equal(t, "/endpoint", r.Fault.Pointer)
	}
}

// TestDataFlow runs the expressions of documents as the executor does: input,
// body, output and export of a task, in one batch.
func TestDataFlow(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, 1, time.Second)
	d := parse(t, `
do:
  - keep:
      input:
        schema: { document: { type: object } }
        from: .user.claims
      set:
        player: ${ .subject }
        from: ${ $input.subject }
      output:
        as: '{ ids: [ $input.subject, .player ] }'
        schema: { document: { required: [ ids ] } }
      export:
        as: '$context + { last: $output.ids[0] }'
`)
	k := d.Do[0]
	vars := map[string]string{"$input": "entered", "$context": "context"}
	exported := map[string]string{"$input": "entered", "$context": "context", "$output": "out"}
	r, err := p.Eval(t.Context(), evaluate.Batch{
		Values: map[string]json.RawMessage{
			"raw": json.RawMessage(`{"user":{"claims":{"subject":"ada"}}}`), "context": json.RawMessage(`{"before":1}`),
		},
		Evals: []evaluate.Eval{
			{On: "raw", Schema: k.Input.Schema},
			{To: "entered", On: "raw", Template: k.Input.From.JSON, Vars: map[string]string{"$context": "context"}},
			{To: "body", On: "entered", Template: k.Set.JSON, Vars: vars},
			{To: "out", On: "body", Template: k.Output.As.JSON, Vars: vars},
			{On: "out", Schema: k.Output.Schema},
			{To: "exported", On: "out", Template: k.Export.As.JSON, Vars: exported},
		},
	})
	require.NoError(t, err)
	require.Nil(t, r.Fault)
	require.JSONEq(t, `{"player":"ada","from":"ada"}`, string(r.Values["body"]))
	require.JSONEq(t, `{"ids":["ada","ada"]}`, string(r.Values["out"]))
	require.JSONEq(t, `{"before":1,"last":"ada"}`, string(r.Values["exported"]))
}

// TestLooseMode: what does not evaluate stands for itself.
func TestLooseMode(t *testing.T) {
	t.Parallel()
	p, _ := newPool(t, 1, time.Second)
	d := parse(t, "evaluate: {mode: loose}\ndo: [{a: {set: {sum: .a + 1, text: 'Hello, world!', fails: .a.b, hash: '.a # note'}}}]\n")
	r, err := p.Eval(t.Context(), evaluate.Batch{
		Values: map[string]json.RawMessage{"in": json.RawMessage(`{"a":1}`)},
		Evals:  []evaluate.Eval{{To: "out", On: "in", Template: d.Do[0].Set.JSON}},
	})
	require.NoError(t, err)
	require.Nil(t, r.Fault)
	require.JSONEq(t, `{"sum":2,"text":"Hello, world!","fails":".a.b","hash":1}`, string(r.Values["out"]))
}
