package jq

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func text(t *testing.T, v any) json.RawMessage {
	t.Helper()
	out, err := json.Marshal(v)
	require.NoError(t, err)
	return out
}

func eval(t *testing.T, template, on string, vars map[string]string) Result {
	t.Helper()
	b := Batch{
		Values: map[string]json.RawMessage{"on": json.RawMessage(on)},
		Evals:  []Eval{{To: "out", On: "on", Template: json.RawMessage(template), Vars: map[string]string{}}},
	}
	for name, v := range vars {
		b.Values[name] = json.RawMessage(v)
		b.Evals[0].Vars[name] = name
	}
	r, err := New().Eval(b)
	require.NoError(t, err)
	return r
}

func TestTemplates(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ template, on, want string }{
		"a field":                   {`"${ .a }"`, `{"a":[1,"x"]}`, `[1,"x"]`},
		"no space":                  {`"${.a}"`, `{"a":1}`, `1`},
		"space around":              {`"  ${ .a }\n"`, `{"a":1}`, `1`},
		"many lines":                {`"${\n  .a\n  # the end\n}"`, `{"a":1}`, `1`},
		"no output is null":         {`"${ empty }"`, `1`, `null`},
		"the first output":          {`"${ 1, 2, error }"`, `1`, `1`},
		"text stays":                {`"costs $5 {x} ${"`, `1`, `"costs $5 {x} ${"`},
		"text with an expression":   {`"a ${ .a }"`, `{"a":1}`, `"a ${ .a }"`},
		"nested":                    {`{"b":{"c":["${ .a }",2,null,true]},"a":"${ .b }"}`, `{"a":1}`, `{"a":null,"b":{"c":[1,2,null,true]}}`},
		"keys are not expressions":  {`{"${ .a }":1}`, `{"a":2}`, `{"${ .a }":1}`},
		"values are not templates":  {`"${ .a }"`, `{"a":"${ .b }","b":1}`, `"${ .b }"`},
		"sorted keys":               {`"${ . }"`, `{"b":1,"a":{"d":1,"c":2}}`, `{"a":{"c":2,"d":1},"b":1}`},
		"empty object":              {`{}`, `1`, `{}`},
		"empty list":                {`[]`, `1`, `[]`},
		"constant":                  {`{"b":[1.50,1e3],"a":"x"}`, `1`, `{"a":"x","b":[1.50,1e3]}`},
		"whole numbers keep digits": {`"${ .a + 1 }"`, `{"a":123456789012345678901234567890}`, `123456789012345678901234567891`},
		"numbers passed on":         {`"${ .a }"`, `{"a":1.10}`, `1.10`},
		"fractions are floats":      {`"${ .a + 0.2 }"`, `{"a":0.1}`, `0.30000000000000004`},
		"not a number":              {`"${ nan }"`, `1`, `null`},
		"text as it is":             {`"${ . }"`, `"<é&\u2028\u0001\t\"\\>"`, "\"<é&\u2028\\u0001\\t\\\"\\\\>\""},
		"a half surrogate":          {`"${ . }"`, `"\ud800"`, "\"\ufffd\""},
		"object construction":       {`"${ { ids: [ 1, .id ] } }"`, `{"id":2}`, `{"ids":[1,2]}`},
		"append to nothing":         {`{"colors":"${ .colors + [ \"red\" ] }"}`, `{}`, `{"colors":["red"]}`},
		"no environment":            {`"${ [env, $ENV] }"`, `1`, `[{},{}]`},
		"definitions":               {`"${ def f: . + 1; f | f }"`, `1`, `3`},
		"caught":                    {`"${ try error(\"x\") catch . }"`, `1`, `"x"`},
		"UTC":                       {`"${ 0 | strftime(\"%H %Z\") }"`, `1`, `"00 UTC"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := eval(t, c.template, c.on, nil)
			require.Nil(t, r.Fault)
			require.Equal(t, c.want, string(r.Values["out"]))
		})
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ template, pointer, detail string }{
		"syntax":                {`{"a":["${ .a. }"]}`, "/a/0", "not a valid expression"},
		"unknown function":      {`{"a/b":"${ foo }"}`, "/a~1b", "function not defined: foo/0"},
		"unknown variable":      {`"${ $secrets.x }"`, "", "variable not defined: $secrets"},
		"the clock's variable":  {`"${ now }"`, "", "no time"},
		"types":                 {`{"x":1,"y":"${ .a + {} }"}`, "/y", "cannot add"},
		"raised":                {`"${ error(\"mine\") }"`, "", "mine"},
		"halt":                  {`"${ halt }"`, "", "halt"},
		"halt_error":            {`"${ \"x\" | halt_error }"`, "", "x"},
		"input":                 {`"${ input }"`, "", "not allowed"},
		"inputs":                {`"${ [inputs] }"`, "", "not allowed"},
		"modules":               {`"${ import \"a\" as a; . }"`, "", "cannot"},
		"local time":            {`"${ 0 | localtime }"`, "", "depends on the machine"},
		"local format":          {`"${ 0 | strflocaltime(\"%Z\") }"`, "", "depends on the machine"},
		"builtins in any order": {`"${ builtins }"`, "", "not available"},
		"empty":                 {`"${ \"\" | .a }"`, "", "object"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := eval(t, c.template, `{"a":1}`, nil)
			require.NotNil(t, r.Fault)
			require.Equal(t, FaultExpression, r.Fault.Type)
			require.Equal(t, c.pointer, r.Fault.Pointer)
			require.Contains(t, r.Fault.Detail, c.detail)
			require.Empty(t, r.Values)
		})
	}
}

func TestVariables(t *testing.T) {
	t.Parallel()
	r := eval(t, `{"ids":"${ [ $input, .id, $item.x ] }"}`, `{"id":2}`, map[string]string{"$input": "1", "$item": `{"x":3}`})
	require.Nil(t, r.Fault)
	require.JSONEq(t, `{"ids":[1,2,3]}`, string(r.Values["out"]))

	e := New()
	for range 2 {
		// The same text with other variables is another program.
		b := Batch{Values: map[string]json.RawMessage{"v": json.RawMessage("7")}, Evals: []Eval{{To: "out", Template: json.RawMessage(`"${ $a }"`)}}}
		res, err := e.Eval(b)
		require.NoError(t, err)
		require.NotNil(t, res.Fault)
		b.Evals[0].Vars = map[string]string{"$a": "v"}
		res, err = e.Eval(b)
		require.NoError(t, err)
		require.Nil(t, res.Fault)
		require.Equal(t, "7", string(res.Values["out"]))
	}
}

func TestNow(t *testing.T) {
	t.Parallel()
	r, err := New().Eval(Batch{Now: 1773480413.5, Evals: []Eval{{To: "a", Template: json.RawMessage(`"${ now | todate }"`)}}})
	require.NoError(t, err)
	require.Nil(t, r.Fault)
	require.JSONEq(t, `"2026-03-14T09:26:53Z"`, string(r.Values["a"]))
}

func TestBatches(t *testing.T) {
	t.Parallel()
	b := Batch{
		Values: map[string]json.RawMessage{"raw": json.RawMessage(`{"a":1,"on":true}`)},
		Evals: []Eval{
			{On: "raw", Template: json.RawMessage(`"${ .on }"`), Halt: true},
			{To: "entered", On: "raw", Template: json.RawMessage(`"${ .a }"`)},
			{On: "entered", Schema: json.RawMessage(`{"type":"integer"}`)},
			{To: "out", On: "entered", Template: json.RawMessage(`{"x":"${ . + $input }"}`), Vars: map[string]string{"$input": "entered"}},
			{To: "stop", On: "out", Template: json.RawMessage(`"${ .none }"`), Halt: true},
			{To: "never", Template: json.RawMessage(`1`)},
		},
	}
	r, err := New().Eval(b)
	require.NoError(t, err)
	require.Equal(t, Result{Halted: true, Failed: 4, Values: map[string]json.RawMessage{
		"entered": json.RawMessage("1"), "out": json.RawMessage(`{"x":2}`), "stop": json.RawMessage("null"),
	}}, r)
}

func TestSchemas(t *testing.T) {
	t.Parallel()
	const order = `{"type":"object","required":["id","lines"],"additionalProperties":false,"properties":{
		"id":{"type":"string","pattern":"^(?!X)[A-Z]+$"},"kind":{"enum":["a","b"]},"big":{"type":"integer","maximum":1e30},
		"lines":{"type":"array","items":{"$ref":"#/$defs/line"},"maxItems":2}},"$defs":{"line":{"type":"object","required":["sku"]}}}`
	for value, want := range map[string]*Fault{
		`{"id":"AB","lines":[{"sku":1}],"big":123456789012345678901234567890}`: nil,
		`{"lines":[]}`:                            {Type: FaultValidation, Detail: "misses id"},
		`{"id":"AB","lines":[{},{"a":1}]}`:        {Type: FaultValidation, Pointer: "/lines/0", Detail: "/lines/0 misses sku; /lines/1 misses sku"},
		`{"id":"private","lines":[]}`:             {Type: FaultValidation, Pointer: "/id", Detail: "/id must match the pattern ^(?!X)[A-Z]+$"},
		`{"id":"AB","lines":[],"kind":"private"}`: {Type: FaultValidation, Pointer: "/kind", Detail: `/kind must be one of ["a","b"]`},
		`{"id":7,"lines":[],"z":1,"y":1}`:         {Type: FaultValidation, Detail: "has fields that are not allowed: y, z; /id must be string, not number"},
		`{"id":"AB","lines":[1,2,3]}`:             {Type: FaultValidation, Pointer: "/lines", Detail: "/lines does not meet maxItems; /lines/0 must be object, not number; /lines/1 must be object, not number; /lines/2 must be object, not number"},
	} {
		for range 5 {
			r, err := New().Eval(Batch{
				Values: map[string]json.RawMessage{"v": json.RawMessage(value)},
				Evals:  []Eval{{On: "v", Schema: json.RawMessage(order)}},
			})
			require.NoError(t, err)
			require.Equal(t, want, r.Fault, value)
		}
	}
}

func TestComputedValuesAreValidated(t *testing.T) {
	t.Parallel()
	r, err := New().Eval(Batch{Evals: []Eval{
		{To: "n", Template: text(t, "${ 99999999999999999999 * 99999999999999999999 }")},
		{On: "n", Schema: json.RawMessage(`{"type":"integer","minimum":1}`)},
	}})
	require.NoError(t, err)
	require.Nil(t, r.Fault)
}

// TestConstantsStay: an expression that changes what it was given changes a
// copy; the cached template is the same for the next batch.
func TestConstantsStay(t *testing.T) {
	t.Parallel()
	e := New()
	b := Batch{Evals: []Eval{
		{To: "c", Template: json.RawMessage(`{"a":{"b":[1,2]}}`)},
		{To: "d", On: "c", Template: json.RawMessage(`"${ .a.b[0] = 9 | .a.c = 1 | del(.a.b[1]) | .a.b += [5] }"`)},
	}}
	for range 3 {
		r, err := e.Eval(b)
		require.NoError(t, err)
		require.Nil(t, r.Fault)
		require.JSONEq(t, `{"a":{"b":[1,2]}}`, string(r.Values["c"]))
		require.JSONEq(t, `{"a":{"b":[9,5],"c":1}}`, string(r.Values["d"]))
	}
}

// TestAgain: a value is named again as its text tells it, and not told twice.
func TestAgain(t *testing.T) {
	t.Parallel()
	r, err := New().Eval(Batch{Evals: []Eval{
		{To: "a", Template: json.RawMessage(`"${ nan }"`)},
		{To: "b", On: "a"},
		{To: "c", On: "b", Template: json.RawMessage(`"${ . == null }"`)},
		{To: "d", On: "a", Template: json.RawMessage(`"${ . == null }"`)},
	}})
	require.NoError(t, err)
	require.Nil(t, r.Fault)
	require.Equal(t, map[string]json.RawMessage{"a": json.RawMessage("null"), "c": json.RawMessage("true"), "d": json.RawMessage("false")}, r.Values)
}

func TestWrongBatches(t *testing.T) {
	t.Parallel()
	for name, b := range map[string]Batch{
		"no such value":   {Evals: []Eval{{On: "x", Template: json.RawMessage("1")}}},
		"not a template":  {Evals: []Eval{{Template: json.RawMessage("private")}}},
		"two templates":   {Evals: []Eval{{Template: json.RawMessage("1 2")}}},
		"no template":     {Evals: []Eval{{}}},
		"not a schema":    {Evals: []Eval{{Schema: json.RawMessage("{")}}},
		"no such var":     {Evals: []Eval{{Template: json.RawMessage("1"), Vars: map[string]string{"$a": "x"}}}},
		"value not JSON":  {Values: map[string]json.RawMessage{"x": json.RawMessage("private")}, Evals: []Eval{{On: "x", Template: json.RawMessage("1")}}},
		"value not whole": {Values: map[string]json.RawMessage{"x": json.RawMessage(`{} private`)}, Evals: []Eval{{On: "x", Template: json.RawMessage("1")}}},
	} {
		_, err := New().Eval(b)
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "private")
	}
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	var c cache[int]
	for i := range 10 * cacheEntries {
		c.put(string(rune(i)), i)
		require.LessOrEqual(t, len(c.entries), cacheEntries)
	}
	c.put(string(make([]byte, cacheBytes)), 1)
	c.put("x", 1)
	require.Len(t, c.entries, 1)
}

// TestLookUps: the short way gives what gojq gives.
func TestLookUps(t *testing.T) {
	t.Parallel()
	on := map[string]any{"a": map[string]any{"b": []any{1}, "and": 2, "n": nil}, "s": "x"}
	vars := []string{timeVar, "$v"}
	values := []any{nil, map[string]any{"a": "y"}}
	for src, short := range map[string]bool{
		".": true, ".a": true, " .a.b ": true, ".a.and": true, ".none.of.it": true, ".a.n.x": true, "$v": true, "$v.a": true, "$v.z.z": true,
		".s.x": false, "$v.a.b": false, ".a.b.c": false, "$none.a": false, "..": false, ".a.": false, "$v.": false, "$__loc__": false, ".a[0]": false,
	} {
		got, ok := lookUp(src, vars).find(on, values)
		require.Equal(t, short, ok, src)
		code, fault := compileExpression(src, vars)
		if !ok {
			continue
		}
		require.Empty(t, fault, src)
		want, _ := code.Run(on, values...).Next()
		require.Equal(t, want, got, src)
	}
}
