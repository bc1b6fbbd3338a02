package jq

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func sample() Batch {
	return Batch{
		Now:    1773480413.25,
		Values: map[string]json.RawMessage{"raw": json.RawMessage(`{"a":"<&>"}`), "empty": json.RawMessage(`""`)},
		Evals: []Eval{
			{To: "out", On: "raw", Template: json.RawMessage(`"${ .a }"`), Halt: true, Vars: map[string]string{"$input": "raw", "$x": "empty"}},
			{On: "out", Schema: json.RawMessage(`true`)},
		},
	}
}

func TestFrames(t *testing.T) {
	t.Parallel()
	b := sample()
	body, err := ReadFrame(bytes.NewReader(AppendBatch(nil, &b)))
	require.NoError(t, err)
	got, err := ReadBatch(body)
	require.NoError(t, err)
	want, err := json.Marshal(b)
	require.NoError(t, err)
	have, err := json.Marshal(got)
	require.NoError(t, err)
	require.JSONEq(t, string(want), string(have))

	for _, r := range []Result{
		{Values: map[string]json.RawMessage{"out": json.RawMessage(`1`)}, Halted: true, Failed: 7},
		{Values: map[string]json.RawMessage{}, Failed: 300, Fault: &Fault{Type: FaultExpression, Detail: "no", Pointer: "/a"}},
	} {
		body, err := ReadFrame(bytes.NewReader(AppendResult(nil, &r, "why")))
		require.NoError(t, err)
		got, refused, err := ReadResult(body)
		require.NoError(t, err)
		require.Equal(t, "why", refused)
		require.Equal(t, r, got)
	}
	_, err = ReadFrame(bytes.NewReader([]byte{0xff, 0xff, 0xff, 0xff}))
	require.Error(t, err)
}

// FuzzFrames: what is read from a body is at most what it says, never a panic,
// and survives being written and read again.
func FuzzFrames(f *testing.F) {
	b := sample()
	f.Add(AppendBatch(nil, &b)[4:])
	r := Result{Values: b.Values, Failed: 1, Fault: &Fault{Type: FaultRuntime}}
	f.Add(AppendResult(nil, &r, "x")[4:])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		if b, err := ReadBatch(body); err == nil {
			again, err := ReadBatch(AppendBatch(nil, &b)[4:])
			require.NoError(t, err)
			require.Len(t, again.Evals, len(b.Evals))
			require.Len(t, again.Values, len(b.Values))
		}
		if r, refused, err := ReadResult(body); err == nil {
			again, refusedAgain, err := ReadResult(AppendResult(nil, &r, refused)[4:])
			require.NoError(t, err)
			require.Equal(t, refused, refusedAgain)
			require.Equal(t, r.Halted, again.Halted)
		}
	})
}

// FuzzEval: any expression over any value gives a result or a fault, and the
// same one again from the cache.
func FuzzEval(f *testing.F) {
	for _, src := range []string{".", ".a[0] // 1", "[.[] | tostring] | join(\",\")", "to_entries", "@uri \"\\(.)\"", "..|numbers", "now"} {
		f.Add(src, `{"a":[1,2.5,"x",null,{"b":true}]}`)
	}
	f.Fuzz(func(t *testing.T, src, value string) {
		if len(src) > 200 || len(value) > 200 || !json.Valid([]byte(value)) || bytes.ContainsAny([]byte(src), "*0123456789") {
			return // One step of gojq is unbounded inside the fuzzer's process.
		}
		template, err := json.Marshal("${" + src + "}")
		require.NoError(t, err)
		b := Batch{Values: map[string]json.RawMessage{"v": json.RawMessage(value)}, Evals: []Eval{{To: "out", On: "v", Template: template}}}
		e := New()
		first, err := e.Eval(b)
		require.NoError(t, err)
		again, err := e.Eval(b)
		require.NoError(t, err)
		require.Equal(t, first, again)
		if first.Fault == nil {
			require.True(t, json.Valid(first.Values["out"]), "%s", first.Values["out"])
		}
	})
}

// The two benchmarks are why frames are not JSON.
func BenchmarkFrameBinary(b *testing.B) {
	batch := sample()
	batch.Values["raw"] = bytes.Repeat([]byte(`[1,2,3,"some text and more of it"],`), 50)
	batch.Values["raw"] = append(append([]byte("["), batch.Values["raw"]...), "1]"...)
	var frame []byte
	for b.Loop() {
		frame = AppendBatch(frame[:0], &batch)
		if _, err := ReadBatch(frame[4:]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFrameJSON(b *testing.B) {
	batch := sample()
	batch.Values["raw"] = bytes.Repeat([]byte(`[1,2,3,"some text and more of it"],`), 50)
	batch.Values["raw"] = append(append([]byte("["), batch.Values["raw"]...), "1]"...)
	for b.Loop() {
		frame, err := json.Marshal(batch)
		if err != nil {
			b.Fatal(err)
		}
		var out Batch
		if err := json.Unmarshal(frame, &out); err != nil {
			b.Fatal(err)
		}
	}
}
