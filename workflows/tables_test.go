package workflows

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/task"
)

const head = `
document: {dsl: '1.0.3', namespace: test, name: test, version: '1.0.0'}
`

// TestBehaviour says, case by case, what a document's run comes to.
func TestBehaviour(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, text, input, output string
		// steps is the number of steps that the run costs.
		steps int
	}{
		{
			name: "tasks follow one another, each on the output of the one before",
			text: `
do:
  - a: {set: {n: '${ .n + 1 }'}}
  - b: {set: {n: '${ .n * 10 }'}}`,
			input: `{n: 1}`, output: `{n: 20}`, steps: 2,
		},
		{
			name: "the document's input and output are transformed",
			text: `
input: {from: .inner}
output: {as: .n}
do:
  - a: {set: {n: '${ .n + 1 }'}}`,
			input: `{inner: {n: 4}}`, output: `5`, steps: 2,
		},
		{
			name: "then jumps forward, and what lies between is not done",
			text: `
do:
  - a: {set: {at: a}, then: c}
  - b: {set: {at: b, bad: true}}
  - c: {set: {at: '${ .at + "c" }'}}`,
			output: `{at: ac}`, steps: 2,
		},
		{
			name: "then jumps backward, guarded by a switch: a loop",
			text: `
do:
  - add: {set: {n: '${ .n + 1 }'}}
  - again:
      switch:
        - more: {when: .n < 3, then: add}
  - done: {set: {n: '${ .n }', done: true}}`,
			input: `{n: 0}`, output: `{n: 3, done: true}`, steps: 7,
		},
		{
			name: "a switch without a matching case follows its own then",
			text: `
do:
  - s:
      switch:
        - never: {when: 'false', then: end}
      then: c
  - b: {set: {bad: true}}
  - c: {set: {n: 1}}`,
			output: `{n: 1}`, steps: 2,
		},
		{
			name: "a case that continues goes to the next task, whatever the switch's then",
			text: `
do:
  - s:
      switch:
        - always: {when: 'true', then: continue}
      then: end
  - b: {set: {n: 1}}`,
			output: `{n: 1}`, steps: 2,
		},
		{
			name: "a task whose if is false is skipped, and so is its then",
			text: `
do:
  - a: {if: .stop, set: {stopped: true}, then: end}
  - b: {set: {n: '${ .n + 1 }'}}`,
			input: `{n: 1, stop: false}`, output: `{n: 2}`, steps: 2,
		},
		{
			name: "end inside a composite ends the run with what the task gave",
			text: `
do:
  - outer:
      do:
        - a: {set: {n: 1}, then: end}
        - b: {set: {n: 2}}
      output: {as: '{wrapped: .}'}
  - after: {set: {n: 3}}`,
			output: `{n: 1}`, steps: 1,
		},
		{
			name: "exit leaves its own list only",
			text: `
do:
  - outer:
      do:
        - inner:
            do:
              - a: {set: {n: 1}, then: exit}
              - b: {set: {n: 100}}
        - c: {set: {n: '${ .n + 10 }'}}
  - after: {set: {n: '${ .n + 100 }'}}`,
			output: `{n: 111}`, steps: 3,
		},
		{
			name: "exit in the main list ends the run",
			text: `
do:
  - a: {set: {n: 1}, then: exit}
  - b: {set: {n: 2}}`,
			output: `{n: 1}`, steps: 1,
		},
		{
			name: "a composite's if, input, output and export apply",
			text: `
do:
  - skipped: {if: 'false', do: [{a: {set: {bad: true}}}]}
  - taken:
      input: {from: .inner}
      do:
        - a: {set: {n: '${ .n + 1 }'}}
      output: {as: '{m: .n, was: $input.n}'}
      export: {as: '{seen: $output.m}'}
  - b: {set: {m: '${ .m }', was: '${ .was }', seen: '${ $context.seen }'}}`,
			input: `{inner: {n: 1}}`, output: `{m: 2, was: 1, seen: 2}`, steps: 5,
		},
		{
			name: "a for passes each output on, and stops at while",
			text: `
do:
  - l:
      for: {each: x, at: i, in: .list}
      while: .sum < 5
      do:
        - add: {set: {list: '${ .list }', sum: '${ .sum + $x }', last: '${ $i }'}}`,
			input: `{list: [1, 2, 3, 4], sum: 0}`, output: `{list: [1, 2, 3, 4], sum: 6, last: 2}`, steps: 8,
		},
		{
			name: "exit in a for leaves the loop",
			text: `
do:
  - l:
      for: {in: .list}
      do:
        - add: {set: {list: '${ .list }', n: '${ .n + $item }'}}
        - enough: {switch: [{big: {when: .n > 2, then: exit}}]}
  - after: {set: {n: '${ .n }'}}`,
			input: `{list: [1, 2, 3, 4], n: 0}`, output: `{n: 3}`, steps: 8,
		},
		{
			name: "loops nest, each with its variables",
			text: `
do:
  - outer:
      for: {each: x, in: '[1, 2]'}
      do:
        - inner:
            for: {each: y, in: '[10, 20]'}
            do:
              - add: {set: {s: '${ .s + [$x + $y] }'}}`,
			output: `{s: [11, 21, 12, 22]}`, steps: 13,
		},
		{
			name: "a for whose tasks name neither variable does not bind them",
			text: `
do:
  - l:
      for: {each: unused, at: count, in: '[1, 2, 3]'}
      do:
        - add: {set: {n: '${ .n + 1 }'}}`,
			input: `{n: 0}`, output: `{n: 3}`, steps: 4,
		},
		{
			name: "a for over nothing gives its input",
			text: `
do:
  - l: {for: {in: '[]'}, do: [{a: {set: {bad: true}}}]}`,
			input: `{n: 1}`, output: `{n: 1}`, steps: 1,
		},
		{
			name: "a wait passes its input on",
			text: `
do:
  - w: {wait: {hours: 24}}
  - x: {wait: PT1M, output: {as: '{m: .n}'}}`,
			input: `{n: 1}`, output: `{m: 1}`, steps: 3,
		},
		{
			name: "a caught error is handled, under its name",
			text: `
do:
  - t:
      try:
        - bad: {raise: {error: {type: 'https://example.com/mine', status: 418, title: tea}}}
      catch:
        errors: {with: {status: 418}}
        as: mine
        do:
          - note: {set: {title: '${ $mine.title }', at: '${ $mine.instance }', n: '${ .n }'}}`,
			input: `{n: 1}`, output: `{title: tea, at: /do/0/t/try/0/bad, n: 1}`, steps: 2,
		},
		{
			name: "an error caught without a handler is swallowed",
			text: `
do:
  - t:
      try:
        - bad: {raise: {error: {type: 'https://example.com/mine', status: 418}}}
      catch: {}
  - a: {set: {n: '${ .n + 1 }'}}`,
			input: `{n: 1}`, output: `{n: 2}`, steps: 2,
		},
		{
			name: "when and exceptWhen are asked of the error",
			text: `
do:
  - t:
      try:
        - inner:
            try:
              - bad: {raise: {error: {type: 'https://example.com/mine', status: 418}}}
            catch: {exceptWhen: $error.status == 418, do: [{no: {set: {by: inner}}}]}
      catch: {when: $error.status == 418, do: [{yes: {set: {by: outer}}}]}`,
			output: `{by: outer}`, steps: 4,
		},
		{
			name: "an error in a handler is not caught by the same try",
			text: `
do:
  - outer:
      try:
        - t:
            try:
              - bad: {raise: {error: {type: 'https://example.com/one', status: 400}}}
            catch:
              do:
                - worse: {raise: {error: {type: 'https://example.com/two', status: 400}}}
      catch: {do: [{a: {set: {type: '${ $error.type }'}}}]}`,
			output: `{type: 'https://example.com/two'}`, steps: 3,
		},
		{
			name: "an expression that fails is an error like another",
			text: `
do:
  - t:
      try:
        - bad: {set: {n: '${ .n + [] }'}}
      catch:
        errors: {with: {type: 'https://serverlessworkflow.io/dsl/errors/types/expression', status: 400}}
        do: [{a: {set: {ok: true}}}]`,
			input: `{n: 1}`, output: `{ok: true}`, steps: 2,
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var input any = map[string]any{}
			if c.input != "" {
				var err error
				input, err = decode(c.input)
				require.NoError(t, err)
			}
			x, end := perform(t, head+c.text, input)
			require.Nil(t, end.fault)
			require.NoError(t, same(c.output, end.output))
			assert.Len(t, x.asked, c.steps)
		})
	}
}

// TestFaults says how runs fault.
func TestFaults(t *testing.T) {
	t.Parallel()
	cases := []struct{ name, text, kind, instance string }{
		{
			name: "nobody catches",
			text: `
do:
  - outer:
      do:
        - bad: {set: {n: '${ error }'}}`,
			kind: flow.TypeExpression, instance: "/do/0/outer/do/0/bad",
		},
		{
			name: "the filter does not match",
			text: `
do:
  - t:
      try: [{bad: {raise: {error: {type: 'https://example.com/mine', status: 418}}}}]
      catch: {errors: {with: {type: 'https://example.com/other'}}}`,
			kind: "https://example.com/mine", instance: "/do/0/t/try/0/bad",
		},
		{
			name: "a document that never stops is stopped, and no try catches that",
			text: `
do:
  - t:
      try:
        - a: {set: {n: 1}, then: a}
      catch: {do: [{b: {set: {n: 2}}}]}`,
			kind: flow.TypeRuntime, instance: "/do/0/t/try/0/a",
		},
		{
			name: "a retry that gives up without a handler does not swallow",
			text: `
do:
  - t:
      try: [{bad: {raise: {error: {type: 'https://example.com/mine', status: 418}}}}]
      catch: {retry: {delay: {seconds: 1}, limit: {attempt: {count: 2}}}}`,
			kind: "https://example.com/mine", instance: "/do/0/t/try/0/bad",
		},
		{
			name: "the document times out",
			text: `
timeout: {after: {seconds: 30}}
do:
  - w: {wait: {seconds: 60}}`,
			kind: flow.TypeTimeout, instance: "",
		},
		{
			name: "a task times out",
			text: `
do:
  - w: {wait: {seconds: 60}, timeout: {after: PT5S}}`,
			kind: flow.TypeTimeout, instance: "/do/0/w",
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, end := perform(t, head+c.text, map[string]any{})
			require.NotNil(t, end.fault)
			assert.Equal(t, c.kind, end.fault["type"])
			assert.Equal(t, c.instance, end.fault["instance"])
		})
	}
}

// TestRetry: every attempt asks for the same effect with the data and the
// context that entered the try, after the delays that the catch answers.
func TestRetry(t *testing.T) {
	t.Parallel()
	failures := 2
	x, end := perform(t, head+`
do:
  - t:
      try:
        - first: {set: {n: '${ .n + 1 }'}, export: {as: '{n: (($context.n // 0) + 1)}'}}
        - post: {call: http, with: {method: post, endpoint: 'https://example.com', body: {n: '${ .n }', c: '${ $context.n }'}}}
      catch:
        errors: {with: {status: 503}}
        retry: {delay: {minutes: 5}, limit: {attempt: {count: 3}}}
        do: [{gaveUp: {set: {ok: false}}}]`, map[string]any{"n": 1.0}, func(x *reference) {
		x.call = func(_ *flow.Task, with any) (any, error) {
			if failures > 0 {
				failures--
				return nil, &problem{kind: "communication", status: 503}
			}
			return with.(map[string]any)["body"], nil
		}
	})
	require.NoError(t, same(`{n: 2, c: 1}`, end.output))
	var keys, effects []string
	var inputs []task.Ref
	for _, req := range x.asked {
		if req.Pointer == "/do/0/t/try/1/post" {
			keys, effects = append(keys, req.Key), append(effects, req.Effect)
			inputs = append(inputs, req.Context)
		}
	}
	assert.Equal(t, []string{"/do/0/t/try/1/post", "/do/0/t~1/try/1/post", "/do/0/t~2/try/1/post"}, keys)
	assert.Equal(t, strings.Repeat("/do/0/t/try/1/post ", 3), strings.Join(effects, " ")+" ")
	assert.Len(t, inputs, 3)
	assert.Equal(t, 2, x.count(task.PhaseCatch))
}

// TestAttemptLimit: an attempt that takes too long is a timeout, which retries.
func TestAttemptLimit(t *testing.T) {
	t.Parallel()
	x, end := perform(t, head+`
do:
  - t:
      try:
        - w: {wait: {minutes: 10}}
      catch:
        retry: {delay: {seconds: 1}, limit: {attempt: {count: 1, duration: {minutes: 1}}}}
        do: [{gaveUp: {set: {type: '${ $error.type }'}}}]`, nil)
	require.NoError(t, same(`{type: '`+flow.TypeTimeout+`'}`, end.output))
	assert.Equal(t, []string{
		"/do/0/t/catch/do/0/gaveUp", "/do/0/t/try/0/w:enter", "/do/0/t:attempt", "/do/0/t:catch", "/do/0/t:overrun",
		"/do/0/t~1/try/0/w:enter", "/do/0/t~1:attempt", "/do/0/t~1:catch", "/do/0/t~1:overrun",
	}, x.keys())
}

// TestTimeouts: the outer deadline wins when it comes first, the inner one is an
// error that a try inside the outer one handles, and one that is kept costs nothing.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	text := head + `
timeout: {after: {minutes: OUTER}}
do:
  - early: {set: {n: 1}, timeout: {after: {minutes: 1}}, export: {as: '{kept: true}'}}
  - t:
      try:
        - slow:
            timeout: {after: {minutes: 3}}
            do:
              - lost: {set: {n: 2}, export: {as: '{kept: false}'}}
              - w: {wait: {minutes: 10}}
      catch:
        do: [{handled: {set: {type: '${ $error.type }', kept: '${ $context.kept }', n: '${ .n }'}}}]`
	_, end := perform(t, strings.Replace(text, "OUTER", "5", 1), nil)
	require.NoError(t, same(`{type: '`+flow.TypeTimeout+`', kept: true, n: 1}`, end.output))
	x, end := perform(t, strings.Replace(text, "OUTER", "2", 1), nil)
	require.NotNil(t, end.fault)
	assert.Empty(t, end.fault["instance"])
	assert.NotContains(t, x.ran["run"], "handled")
}

// TestWaitTakesItsTime: a wait lasts as long as it says, by the engine's clock.
func TestWaitTakesItsTime(t *testing.T) {
	t.Parallel()
	lib, digest := parse(t, head+"do: [{w: {wait: {days: 3}}}]")
	x := newReference(lib)
	env := x.environment()
	start := env.Now()
	env.ExecuteWorkflow(task.Carrier, carrying(digest, "run"))
	require.NoError(t, env.GetWorkflowError())
	assert.GreaterOrEqual(t, env.Now().Sub(start), 72*time.Hour)
}
