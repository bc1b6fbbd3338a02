package flow_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/flow"
)

func mustRead(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "good", name))
	require.NoError(t, err)
	return data
}

func mustParse(t *testing.T, data []byte) *flow.Document {
	t.Helper()
	d, err := flow.Parse(data)
	require.NoError(t, err)
	return d
}

func TestParseNormalises(t *testing.T) {
	t.Parallel()
	d := mustParse(t, mustRead(t, "order-to-bill.yaml"))
	require.Equal(t, "1.0.3", d.DSL)
	require.Equal(t, "bookkeeping", d.Namespace)
	require.Equal(t, "order-to-bill", d.Name)
	require.Equal(t, "1.2.0", d.Version)
	require.Equal(t, map[string]string{"team": "finance", "priority": "2"}, d.Tags)
	require.JSONEq(t, `{"type":"object","required":["id","lines"]}`, string(d.Input.Schema))
	require.JSONEq(t, `{"bill":"${ .number }"}`, string(d.Output.As.JSON))
	require.JSONEq(t, `{"hours":1}`, string(d.Timeout.JSON))
	require.False(t, d.Straight, "it waits")
	require.Len(t, d.Do, 7)

	first := d.Do[0]
	require.Equal(t, "/do/0/mapOrder", first.Pointer)
	require.Equal(t, flow.KindSet, first.Kind)
	require.JSONEq(t, `"${ .order // . }"`, string(first.Input.From.JSON))
	require.JSONEq(t, `"${ $context + { number: .number } }"`, string(first.Export.As.JSON))
	require.False(t, first.Set.Literal)

	call := d.Do[1]
	require.JSONEq(t, `"PT1M"`, string(call.Timeout.JSON))
	require.Equal(t, "http", call.Call.Connector)
	require.Equal(t, "request", call.Call.Action)
	require.Equal(t, "books", call.Call.Connection)
	require.Contains(t, string(call.Call.With.JSON), `"method":"GET"`)
	require.Contains(t, string(call.Call.With.JSON), `"endpoint":"${ . as $in | @uri `)
	require.NotContains(t, string(call.Call.With.JSON), "authentication")

	require.Equal(t, []string{"post", "complain"}, []string{d.Do[2].Switch[0].Then, d.Do[2].Switch[1].Then})
	require.JSONEq(t, `"${ .id != null }"`, string(d.Do[2].Switch[0].When.JSON))
	require.Nil(t, d.Do[2].Switch[1].When)
	require.JSONEq(t, `{"type":"https://example.com/errors/unknown-supplier","status":422,"title":"${ \"No supplier \" + .supplier }"}`, string(d.Do[3].Raise.JSON))
	require.Equal(t, flow.ThenEnd, d.Do[3].Then)

	try := d.Do[4].Try
	require.Equal(t, "/do/4/post/try/0/createBill", try.Do[0].Pointer)
	require.Equal(t, &flow.Call{
		Connector: "http", Action: "request", Version: "1", Connection: "books",
		With: flow.Template{JSON: []byte(`{"body":"${ $context }","endpoint":"/bills","method":"POST"}`)},
	}, try.Do[0].Call)
	require.JSONEq(t, `{"type":"`+flow.TypeCommunication+`","status":503}`, string(try.Catch.With.JSON))
	require.True(t, try.Catch.With.Literal)
	require.Equal(t, "problem", try.Catch.As)
	require.Equal(t, &flow.Retry{Delay: time.Second, Backoff: flow.BackoffConstant}, try.Catch.Retry)
	require.Equal(t, "/do/4/post/catch/do/0/note", try.Catch.Do[0].Pointer)

	loop := d.Do[5].For
	require.Equal(t, "line", loop.Each)
	require.Equal(t, "index", loop.At)
	require.JSONEq(t, `"${ .lines }"`, string(loop.In.JSON))
	require.JSONEq(t, `"${ $index < 10 }"`, string(loop.While.JSON))
	require.JSONEq(t, `{"minutes":1}`, string(d.Do[6].Wait.JSON))
	require.Equal(t, "mapOrder", d.Do[6].Then)

	for _, pointer := range []string{
		"/do/0/mapOrder", "/do/4/post/try/0/createBill", "/do/4/post/catch/do/0/note", "/do/5/eachLine/do/0/keep",
	} {
		task, ok := d.Task(pointer)
		require.True(t, ok, pointer)
		require.Equal(t, pointer, task.Pointer)
	}
	_, ok := d.Task("/do/9/none")
	require.False(t, ok)
}

func TestNamedRetry(t *testing.T) {
	t.Parallel()
	text := strings.Replace(string(mustRead(t, "order-to-bill.yaml")), "retry:\n          delay: { seconds: 1 }", "retry: patient", 1)
	text = strings.Replace(text, "as: problem", "as: error", 1)
	text = strings.Replace(text, "$problem", "$error", 1)
	d := mustParse(t, []byte(text))
	r := d.Do[4].Try.Catch.Retry
	require.JSONEq(t, `"${ $error.status >= 500 }"`, string(r.When.JSON))
	r.When = nil
	require.Equal(t, &flow.Retry{
		Delay: 2 * time.Second, Backoff: flow.BackoffExponential, Attempts: 4, AttemptDuration: 20 * time.Second,
		Duration: 10 * time.Minute, JitterFrom: 10 * time.Millisecond, JitterTo: 500 * time.Millisecond,
	}, r)
}

func TestCanonical(t *testing.T) {
	t.Parallel()
	d := mustParse(t, mustRead(t, "minimal.json"))
	//nolint:testifylint // The exact bytes are the content address.
	require.Equal(t, `{"do":[{"one/two~":{"set":"${ .x }"}}],"document":{"dsl":"1.0.0","name":"b","namespace":"a","version":"0.1.0"}}`, string(d.Canonical))
	require.Equal(t, "/do/0/one~1two~0", d.Do[0].Pointer)
	require.Len(t, d.Digest, 64)
	require.True(t, d.Straight)

	yaml := "document: {dsl: 1.0.0, namespace: a, name: b, version: 0.1.0}\ndo: [{one/two~: {set: '${ .x }'}}]\n"
	require.Equal(t, d.Digest, mustParse(t, []byte(yaml)).Digest, "the notation does not matter")

	aliases := mustParse(t, mustRead(t, "aliases.yaml"))
	require.JSONEq(t, `{"big":123456789012345678901234567890,"date":"2026-01-02","exact":1.10,"hex":31,"on":"yes"}`, string(aliases.Do[1].Set.JSON))
	require.Contains(t, string(aliases.Do[1].Set.JSON), "1.10")
	require.True(t, aliases.Do[1].Set.Literal)
}

func TestModes(t *testing.T) {
	t.Parallel()
	d := mustParse(t, mustRead(t, "loose.yaml"))
	set := string(d.Do[0].Set.JSON)
	require.Contains(t, set, `"text":"Hello, world!"`)
	require.Contains(t, set, `"evaluated":"${ try (.a + 1`)
	require.Contains(t, set, `catch \".a.b.c\" }"`)

	strict := "document: {dsl: 1.0.3, namespace: a, name: b, version: 0.1.0}\nevaluate: {mode: strict}\ndo: [{one: {if: %s, set: {a: 1}}}]\n"
	_, err := flow.Parse([]byte(strings.Replace(strict, "%s", ".a", 1)))
	require.ErrorContains(t, err, "strict")
	mustParse(t, []byte(strings.Replace(strict, "%s", "'${ .a }'", 1)))
}

// TestCorpus: what Parse accepts it accepts again from its canonical form, with
// the same digest; the corpus is ours.
func TestCorpus(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/good/*")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		data, err := os.ReadFile(f)
		require.NoError(t, err)
		requireStable(t, mustParse(t, data))
	}
}

func requireStable(t *testing.T, d *flow.Document) {
	t.Helper()
	again, err := flow.Parse(d.Canonical)
	require.NoError(t, err)
	require.Equal(t, d, again)
}

// TestSpecificationExamples reads the examples of the specification where they
// are at hand (SPEC_DIR, or beside the repository): each parses, or holds only
// what is not supported yet and credentials, which a document cannot hold here.
func TestSpecificationExamples(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("SPEC_DIR")
	if dir == "" {
		dir = "../../../shared/spec"
	}
	files, err := filepath.Glob(filepath.Join(dir, "*", "examples", "*.yaml"))
	require.NoError(t, err)
	if os.Getenv("SPEC_DIR") != "" {
		require.NotEmpty(t, files, "SPEC_DIR holds no examples")
	}
	parsed := 0
	for _, f := range files {
		data, err := os.ReadFile(f)
		require.NoError(t, err)
		d, err := flow.Parse(data)
		if err == nil {
			requireStable(t, d)
			parsed++
			continue
		}
		var problems flow.Problems
		require.ErrorAs(t, err, &problems)
		for _, p := range problems {
			if !errors.Is(p, flow.ErrUnsupported) && !errors.Is(p, flow.ErrCredential) {
				t.Errorf("%s: %v", filepath.Base(f), p)
			}
		}
	}
	t.Logf("%d of %d examples parse", parsed, len(files))
}

func TestProblems(t *testing.T) {
	t.Parallel()
	_, err := flow.Parse([]byte("document: {dsl: 1.0.3, namespace: a, name: b, version: 0.1.0}\ndo: [{one: {set: {}, then: x}}, {two: {fork: {}}}]\n"))
	require.Equal(t, schema.CodeInvalid, schema.CodeOf(err))
	require.ErrorIs(t, err, flow.ErrUnsupported)
	var problems flow.Problems
	require.ErrorAs(t, err, &problems)
	require.Len(t, problems, 3)
	require.Contains(t, err.Error(), "3 problem(s)")
	for _, p := range problems {
		require.NotEmpty(t, p.Pointer)
	}
}
