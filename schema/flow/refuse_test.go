package flow_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/flow"
)

const head = "document: {dsl: 1.0.3, namespace: a, name: b, version: 0.1.0}\n"

// TestBadDocuments: every document is refused, with exactly these problems.
func TestBadDocuments(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want []string // pointer and a part of the message
	}{
		"nothing":             {"", []string{" empty"}},
		"a comment":           {"# nothing\n", []string{" empty"}},
		"not YAML":            {"a: [", []string{" not valid YAML"}},
		"not JSON":            {`{"a":`, []string{" not valid JSON"}},
		"JSON and more":       {`{} {}`, []string{" something follows"}},
		"two documents":       {"a: 1\n---\nb: 2\n", []string{" more than one"}},
		"not UTF-8":           {"a: \xff", []string{" UTF-8"}},
		"a list":              {"- 1\n", []string{" must be an object, not a list"}},
		"empty object":        {"{}", []string{` "document" is missing`, ` "do" is missing`}},
		"duplicate key":       {"do: []\ndo: []\n", []string{"/do this key occurs twice"}},
		"duplicate in JSON":   {`{"a/b":{"c":1,"c":2}}`, []string{"/a~1b/c this key occurs twice"}},
		"merge key":           {"a: &a {b: 1}\nc: {<<: *a}\n", []string{"/c merge keys"}},
		"custom tag":          {"a: !!binary aGk=\n", []string{"/a tag"}},
		"own tag":             {"a: !own x\n", []string{"/a tag"}},
		"infinity":            {"a: .inf\n", []string{"/a no such number"}},
		"a key that is a map": {"? {a: 1}\n: 2\n", []string{" key must be a string"}},
		"null key":            {"~: 2\n", []string{" key must be a string"}},
		"endless alias":       {"a: &a [*a]\n", []string{"/a/0/0 inside what it names"}},
		"version as a number": {"document: {dsl: 1.0, namespace: a, name: b, version: 0.1.0}\ndo: [{a: {set: {x: 1}}}]\n", []string{"/document/dsl must be a string, not a number"}},
		"another version":     {strings.Replace(head, "1.0.3", "2.0.0", 1) + "do: [{a: {set: {x: 1}}}]\n", []string{"/document/dsl not supported yet"}},
		"bad header": {"document: {dsl: x, namespace: 'a b', name: '', version: v1, foo: 1, tags: {a: []}, metadata: 7}\ndo: [{a: {set: {x: 1}}}]\n", []string{
			"/document/dsl version", "/document/namespace letters", "/document/name letters", "/document/version semantic", "/document/tags/a string",
			"/document/metadata object", "/document/foo unknown field",
		}},
		"unknown field":       {task("set: {x: 1}, foo: 1"), []string{"/do/0/t/foo unknown field"}},
		"top level":           {head + "schedule: {cron: x}\nfoo: 1\ndo: [{t: {set: {x: 1}}}]\n", []string{"/schedule not supported yet", "/foo unknown field"}},
		"no tasks":            {head + "do: []\n", []string{"/do no task"}},
		"tasks as an object":  {head + "do: {a: {set: {x: 1}}}\n", []string{"/do must be a list"}},
		"a task with two":     {head + "do: [{a: {set: {x: 1}}, b: {set: {x: 1}}}]\n", []string{"/do/0 one field"}},
		"a task of nothing":   {task("if: .a"), []string{"/do/0/t does nothing"}},
		"a task of two kinds": {task("set: {x: 1}, wait: PT1S"), []string{"/do/0/t/wait one thing"}},
		"a null task":         {head + "do: [{a: }]\n", []string{"/do/0/a must be an object, not null"}},
		"same names":          {head + "do: [{a: {set: {x: 1}}}, {a: {set: {x: 1}}}]\n", []string{"/do/1/a this name"}},
		"name of a directive": {head + "do: [{exit: {set: {x: 1}}}]\n", []string{"/do/0/exit flow directive"}},
		"kinds to come":       {head + "do: [{a: {fork: {}}}, {b: {emit: {}}}, {c: {listen: {}, foreach: {}}}, {d: {run: {}}}]\n", []string{"/do/0/a not supported yet", "/do/1/b not supported yet", "/do/2/c not supported yet", "/do/3/d not supported yet"}},
		"then to nowhere":     {task("set: {x: 1}, then: nowhere"), []string{"/do/0/t/then no task"}},
		"then to a cousin":    {head + "do: [{a: {do: [{b: {set: {x: 1}, then: c}}]}}, {c: {set: {x: 1}}}]\n", []string{"/do/0/a/do/0/b/then no task"}},
		"then a number":       {task("set: {x: 1}, then: 1"), []string{"/do/0/t/then must be a string"}},
		"empty set":           {task("set: {}"), []string{"/do/0/t/set sets nothing"}},
		"set a list":          {task("set: [1]"), []string{"/do/0/t/set must be an expression or an object"}},
		"if a boolean":        {task("set: {x: 1}, if: true"), []string{"/do/0/t/if must be an expression"}},
		"syntax":              {task(`set: {x: {y: ["${ .a. }"]}}`), []string{"/do/0/t/set/x/y/0 not a valid jq expression"}},
		"no such function":    {task(`set: {x: "${ foo(1) }"}`), []string{"/do/0/t/set/x function not defined: foo/1"}},
		"no such variable":    {task(`set: {x: "${ $item }"}`), []string{"/do/0/t/set/x variable not defined: $item"}},
		"output too early":    {task(`set: {x: 1}, output: {as: $output}`), []string{"/do/0/t/output/as variable not defined: $output"}},
		"empty expression":    {task(`set: {x: "${ }"}`), []string{"/do/0/t/set/x empty"}},
		"long expression":     {task(`set: {x: "${ ` + strings.Repeat("1+", flow.MaxExpression) + `1 }"}`), []string{"/do/0/t/set/x longer"}},
		"deep expression":     {task(`set: {x: "${ ` + strings.Repeat("(", 300) + strings.Repeat(")", 300) + ` }"}`), []string{"/do/0/t/set/x nest too deeply"}},
		"secrets":             {task(`set: {x: "${ $secrets.token }"}, if: $secrets.a`), []string{"/do/0/t/if $secrets", "/do/0/t/set/x $secrets"}},
		"hidden secrets":      {task(`set: {x: "${ \"\\($secrets)\" }"}`), []string{"/do/0/t/set/x $secrets"}},
		"loose secrets":       {head + "evaluate: {mode: loose}\ndo: [{t: {set: {x: $secrets.a}}}]\n", []string{"/do/0/t/set/x $secrets"}},
		"environment":         {task(`set: {x: "${ $ENV.HOME }"}`), []string{"/do/0/t/set/x no environment"}},
		"authorization":       {task(`set: {x: "${ $authorization }"}`), []string{"/do/0/t/set/x not supported yet"}},
		"another language":    {head + "evaluate: {language: js, mode: odd}\ndo: [{t: {set: {x: 1}}}]\n", []string{"/evaluate/language not supported yet", "/evaluate/mode must be"}},
		"schema":              {task(`set: {x: 1}, input: {schema: {format: avro, document: 7}, from: 1, foo: 1}`), []string{"/do/0/t/input/schema/format not supported yet", "/do/0/t/input/schema/document JSON Schema", "/do/0/t/input/from must be", "/do/0/t/input/foo unknown"}},
		"remote schema":       {task(`set: {x: 1}, output: {schema: {document: {properties: {a: {$ref: "https://example.com/a"}}}}}, export: {schema: {resource: {endpoint: x}}}`), []string{"/do/0/t/output/schema/document/properties/a/$ref own parts", "/do/0/t/export/schema/resource not supported yet"}},
		"no schema":           {task(`set: {x: 1}, input: {schema: {}}`), []string{`/do/0/t/input/schema "document" is missing`}},
		"timeout":             {task(`set: {x: 1}, timeout: {after: PT}`), []string{"/do/0/t/timeout/after not a duration"}},
		"timeout of no name":  {task(`set: {x: 1}, timeout: short`), []string{"/do/0/t/timeout no timeout of this name"}},
		"timeout of nothing":  {task(`set: {x: 1}, timeout: {}`), []string{`/do/0/t/timeout "after" is missing`}},
		"wait":                {task(`wait: 30s`), []string{"/do/0/t/wait not a duration"}},
		"wait for units":      {task(`wait: {weeks: 1}`), []string{"/do/0/t/wait unknown unit"}},
		"wait for less":       {task(`wait: {seconds: -1}`), []string{"/do/0/t/wait not negative"}},
		"no cases":            {task(`switch: []`), []string{"/do/0/t/switch list of cases"}},
		"cases":               {task(`switch: [{a: {when: .x}}, {b: {then: z, do: 1}}, {b: {then: end}}, 7]`), []string{`/do/0/t/switch/0/a "then" is missing`, "/do/0/t/switch/1/b/then no task", "/do/0/t/switch/1/b/do unknown", "/do/0/t/switch/2/b this name", "/do/0/t/switch/2/b no condition", "/do/0/t/switch/3 one field"}},
		"loop":                {task(`for: {each: input, at: $i, foo: 1}, do: [{a: {set: {x: 1}}}]`), []string{`/do/0/t/for "in" is missing`, "/do/0/t/for/each standard variable", "/do/0/t/for/at variable's name", "/do/0/t/for/foo unknown"}},
		"loop without do":     {task(`for: {in: .a, each: x, at: x}`), []string{"/do/0/t/for/at same name", `/do/0/t "do" is missing`}},
		"loop's variable out": {head + "do: [{a: {for: {in: .a}, do: [{b: {set: {x: '${ $item }'}}}]}}, {c: {set: {x: '${ $item }'}}}]\n", []string{"/do/1/c/set/x variable not defined"}},
		"try without catch":   {task(`try: [{a: {set: {x: 1}}}]`), []string{`/do/0/t "catch" is missing`}},
		"catch":               {task(`try: [{a: {set: {x: 1}}}], catch: {errors: {with: {type: "${ .x }", status: a, foo: 1}}, as: task, when: 1, retry: none, foo: 1}`), []string{"/do/0/t/catch/errors/with/type static", "/do/0/t/catch/errors/with/status whole number", "/do/0/t/catch/errors/with/foo unknown", "/do/0/t/catch/as standard", "/do/0/t/catch/when expression", "/do/0/t/catch/retry no retry policy", "/do/0/t/catch/foo unknown"}},
		"retry":               {task(`try: [{a: {set: {x: 1}}}], catch: {retry: {delay: x, backoff: {a: {}}, limit: {attempt: {count: 0}, foo: 1}, jitter: {from: PT2S, to: PT1S}, when: $x}}`), []string{"/do/0/t/catch/retry/when not defined", "/do/0/t/catch/retry/delay not a duration", "/do/0/t/catch/retry/backoff/a unknown", "/do/0/t/catch/retry/limit/attempt/count from 1", "/do/0/t/catch/retry/limit/foo unknown", "/do/0/t/catch/retry/jitter/to shorter"}},
		"raise":               {task(`raise: {error: {status: 7, title: [], foo: 1}}`), []string{`/do/0/t/raise/error "type" is missing`, "/do/0/t/raise/error/title string", "/do/0/t/raise/error/status status code", "/do/0/t/raise/error/foo unknown"}},
		"raise nothing":       {task(`raise: {}`), []string{`/do/0/t/raise "error" is missing`}},
		"raise a name":        {task(`raise: {error: none}`), []string{"/do/0/t/raise/error no error of this name"}},
		"protocols":           {head + "do: [{a: {call: grpc, with: {}}}, {b: {call: openapi}}, {c: {call: asyncapi}}, {d: {call: mcp}}, {e: {call: a2a}}]\n", []string{"/do/0/a/call not supported yet", "/do/1/b/call not supported yet", "/do/2/c/call not supported yet", "/do/3/d/call not supported yet", "/do/4/e/call not supported yet"}},
		"functions":           {head + "use: {functions: {f: {}}, extensions: [], catalogs: {}}\ndo: [{a: {call: f}}, {b: {call: 'log:1.0.0@public'}}, {c: {call: 'https://example.com/f'}}, {d: {call: none}}]\n", []string{"/use/functions not supported yet", "/use/extensions not supported yet", "/use/catalogs not supported yet", "/do/0/a/call not supported yet", "/do/1/b/call not supported yet", "/do/2/c/call not supported yet", "/do/3/d/call no such function"}},
		"http":                {call(`method: "G T", endpoint: example.com, headers: [], query: {a: [1]}, output: x, redirect: maybe, foo: 1`), []string{"/do/0/t/with/method HTTP method", "/do/0/t/with/endpoint absolute", "/do/0/t/with/headers must be an object", "/do/0/t/with/query/a string", "/do/0/t/with/output raw", "/do/0/t/with/redirect true or false", "/do/0/t/with/foo unknown"}},
		"http without":        {task("call: http"), []string{`/do/0/t "with" is missing`}},
		"http of nothing":     {call(""), []string{`/do/0/t/with "method" is missing`, `/do/0/t/with "endpoint" is missing`}},
		"another scheme":      {call("method: get, endpoint: 'file:///etc/passwd'"), []string{"/do/0/t/with/endpoint absolute"}},
		"a relative path":     {call("method: get, endpoint: /bills"), []string{"/do/0/t/with/endpoint absolute"}},
		"another host":        {call("method: get, endpoint: {uri: //example.com/x, authentication: {use: a}}"), []string{"/do/0/t/with/endpoint/uri absolute"}},
		"password in the URI": {call("method: get, endpoint: 'https://ada:pw@example.com/'"), []string{"/do/0/t/with/endpoint credentials live"}},
		"credential header":   {call("method: get, endpoint: 'https://example.com/', headers: {AUTHORIZATION: '${ .x }'}"), []string{"/do/0/t/with/headers/AUTHORIZATION credentials live"}},
		"URI template":        {call("method: get, endpoint: 'https://example.com/{?a}/{b'"), []string{"/do/0/t/with/endpoint not supported yet"}},
		"literal credential":  {call("method: get, endpoint: {uri: 'https://example.com/', authentication: {basic: {username: ada, password: pw}}}"), []string{"/do/0/t/with/endpoint/authentication/basic credentials live"}},
		"computed credential": {call("method: get, endpoint: {uri: 'https://example.com/', authentication: {bearer: {token: '${ .t }'}}}"), []string{"/do/0/t/with/endpoint/authentication/bearer credentials live"}},
		"declared credential": {head + "use: {authentications: {a: {bearer: {token: x}}, b: {foo: 1}, c: 7}, secrets: a}\ndo: [{t: {set: {x: 1}}}]\n", []string{"/use/authentications/a/bearer credentials live", "/use/authentications/b/foo unknown", "/use/authentications/c object", "/use/secrets list"}},
		"no connection":       {call("method: get, endpoint: {uri: 'https://example.com/', authentication: {use: '${ .a }'}}"), []string{"/do/0/t/with/endpoint/authentication/use connection"}},
		"authentication text": {call("method: get, endpoint: {uri: 'https://example.com/', authentication: a}"), []string{"/do/0/t/with/endpoint/authentication must be an object"}},
		"declarations":        {head + "use: {errors: {a: {}}, timeouts: {b: {}}, retries: {c: {delay: 1}}, foo: 1}\ndo: [{t: {set: {x: 1}}}]\n", []string{`/use/errors/a "type" is missing`, `/use/errors/a "status" is missing`, `/use/timeouts/b "after" is missing`, "/use/retries/c/delay not a duration", "/use/foo unknown"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := flow.Parse([]byte(c.text))
			var problems flow.Problems
			require.ErrorAs(t, err, &problems)
			var got []string
			for _, p := range problems {
				got = append(got, p.Pointer+" "+p.Message)
			}
			require.Len(t, problems, len(c.want), "%s", strings.Join(got, "\n"))
			for i, want := range c.want {
				pointer, message, _ := strings.Cut(want, " ")
				require.Equal(t, pointer, problems[i].Pointer, got[i])
				require.Contains(t, problems[i].Message, message)
			}
		})
	}
}

func task(fields string) string { return head + "do: [{t: {" + fields + "}}]\n" }

func call(with string) string { return task("call: http, with: {" + with + "}") }

// TestInvariant9Bombs: what is too much is refused, and soon.
func TestInvariant9Bombs(t *testing.T) {
	t.Parallel()
	var laughs strings.Builder
	laughs.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := range 12 {
		ref := fmt.Sprintf("*a%d", i)
		fmt.Fprintf(&laughs, "a%d: &a%d [%s]\n", i+1, i+1, strings.Join([]string{ref, ref, ref, ref, ref, ref, ref, ref, ref}, ", "))
	}
	text := "a: &a " + strings.Repeat("x", 100_000) + "\nb: [" + strings.Repeat("*a, ", 10_000) + "*a]\n"
	for name, c := range map[string]struct {
		text string
		code schema.Code
	}{
		"large":             {strings.Repeat(" ", flow.MaxBytes+1), schema.CodeTooLarge},
		"a billion laughs":  {laughs.String(), schema.CodeTooLarge},
		"a long alias":      {text, schema.CodeTooLarge},
		"deep JSON":         {strings.Repeat(`{"a":`, 100_000), schema.CodeInvalid},
		"deep YAML":         {strings.Repeat("[", 9_000), schema.CodeInvalid},
		"deep and closed":   {"a: " + strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000), schema.CodeInvalid},
		"deep blocks":       {strings.Repeat("- ", 9_000) + "x", schema.CodeInvalid},
		"many values":       {"a: [" + strings.Repeat("1,", flow.MaxValues+1) + "1]", schema.CodeTooLarge},
		"many tasks":        {head + "do:\n" + strings.Repeat("- a: {set: {x: 1}}\n", flow.MaxTasks+1), schema.CodeInvalid},
		"many problems":     {head + "do: [" + strings.Repeat("7, ", 90_000) + "7]", schema.CodeInvalid},
		"many keys":         {manyKeys(90_000), schema.CodeTooLarge},
		"many comments":     {strings.Repeat("# a\n", 200_000), schema.CodeInvalid},
		"many anchors":      {"a: [" + strings.Repeat("&a x, ", 50_000) + "x]", schema.CodeInvalid},
		"many documents":    {strings.Repeat("---\n", 200_000), schema.CodeInvalid},
		"many line breaks":  {"a: |\n" + strings.Repeat("\n", 900_000), schema.CodeInvalid},
		"a long plain text": {"a: " + strings.Repeat("x ", 500_000), schema.CodeInvalid},
		"many expressions":  {head + "do: [{a: {set: {x: [" + strings.Repeat("'${ [.a[] | select(.b) | tojson] }', ", 25_000) + "1]}}, foo: 1}]", schema.CodeInvalid},
		"much to compile":   {head + "do: [{a: {set: {x: ['${ 1" + strings.Repeat(strings.Repeat("+1", 8000)+" }', '${ 1", 60) + " }']}}}]", schema.CodeTooLarge},
		"many flow levels":  {strings.Repeat("{a: ", 5_000), schema.CodeInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			start := time.Now()
			_, err := flow.Parse([]byte(c.text))
			took := time.Since(start)
			require.Error(t, err)
			require.Equal(t, c.code, schema.CodeOf(err))
			require.Less(t, len(err.Error()), 100_000)
			require.Less(t, took, 10*time.Second)
			t.Log(took)
		})
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "k%d: 1\n", i)
	}
	return b.String()
}

// FuzzParse: any bytes give problems with codes, or a document that its
// canonical form gives again.
func FuzzParse(f *testing.F) {
	f.Add([]byte(head + "do: [{a: {set: {x: '${ .y }'}, then: a}}]\n"))
	f.Add([]byte(`{"document":{"dsl":"1.0.3","namespace":"a","name":"b","version":"1.0.0"},"do":[{"w":{"wait":"PT1S"}}]}`))
	f.Add([]byte(task("try: [{a: {call: http, with: {method: get, endpoint: 'https://a/{b}'}}}], catch: {retry: {delay: PT1S}}")))
	f.Add([]byte(task("for: {in: .a}, do: [{a: {switch: [{b: {when: .x, then: exit}}]}}]")))
	f.Add([]byte(head + "use: {errors: {e: {type: runtime, status: 500}}, timeouts: {s: {after: {seconds: 1}}}}\ntimeout: s\ndo: [{r: {raise: {error: e}}}]\n"))
	f.Add([]byte("a: &a [*a]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := flow.Parse(data)
		if err != nil {
			var problems flow.Problems
			require.ErrorAs(t, err, &problems)
			require.NotEmpty(t, problems)
			for _, p := range problems {
				require.NotEmpty(t, p.Code)
				require.NotEmpty(t, p.Message)
			}
			return
		}
		again, err := flow.Parse(d.Canonical)
		require.NoError(t, err)
		require.Equal(t, d, again)
	})
}
