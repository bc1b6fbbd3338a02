package http_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/connectors/http"
	"github.com/tenonhq/tenon/plugins/sdk"
	"github.com/tenonhq/tenon/plugins/sdk/sdktest"
)

func TestAcceptance(t *testing.T) {
	sdktest.Run(t, http.Connector(), sdktest.Example{
		Action: "request", Settings: `{"base_url":"https://a.example/v1"}`, Input: `{"method":"post","endpoint":"/bills","body":{"n":1}}`,
	}, sdktest.Example{Action: "test", Settings: `{"base_url":"https://a.example/v1","test_path":"/me"}`, Input: `{}`})
}

// TestTheTestAction: only a success shows that a credential works, and what the
// system says besides is not passed on.
func TestTheTestAction(t *testing.T) {
	for status, kind := range map[int]string{
		200: "", 204: "", 401: sdk.FaultAuthentication, 403: sdk.FaultAuthentication,
		301: sdk.FaultCommunication, 404: sdk.FaultCommunication, 500: sdk.FaultCommunication,
	} {
		var asked *sdk.Request
		_, err := http.Connector().Actions["test"](t.Context(), sdk.NewCall(
			json.RawMessage(`{"base_url":"https://a.example/v1","test_path":"/me"}`), json.RawMessage(`{}`),
			func(_ context.Context, r *sdk.Request) (*sdk.Response, error) {
				asked = r
				return &sdk.Response{Status: status, Body: []byte("canary")}, nil
			}))
		assert.Equal(t, "GET", asked.Method)
		assert.Equal(t, "https://a.example/v1/me", asked.URL)
		if kind == "" {
			require.NoError(t, err)
			continue
		}
		var f *sdk.Fault
		require.ErrorAs(t, err, &f)
		assert.Equal(t, kind, f.Type)
		assert.NotContains(t, f.Error(), "canary")
	}
	for _, settings := range []string{"", `{"base_url":"https://a.example/v1"}`} {
		_, err := http.Connector().Actions["test"](t.Context(), sdk.NewCall(json.RawMessage(settings), nil, nil))
		var f *sdk.Fault
		require.ErrorAs(t, err, &f)
		assert.Equal(t, sdk.FaultConfiguration, f.Type)
	}
}

// call runs the action against an answer, and gives what was asked for.
func call(t *testing.T, settings, input string, resp *sdk.Response) (*sdk.Request, string, error) {
	t.Helper()
	var asked *sdk.Request
	egress := func(_ context.Context, r *sdk.Request) (*sdk.Response, error) {
		asked = r
		return resp, nil
	}
	out, err := http.Connector().Actions["request"](t.Context(), sdk.NewCall(json.RawMessage(settings), json.RawMessage(input), egress))
	text, jerr := json.Marshal(out)
	require.NoError(t, jerr)
	return asked, string(text), err
}

func TestRequests(t *testing.T) {
	const base = `{"base_url":"https://a.example/v1/","headers":{"x-tenant":"7"}}`
	for name, c := range map[string]struct{ settings, input, method, url, body, kind string }{
		"path below the base": {base, `{"method":"get","endpoint":"/bills"}`, "GET", "https://a.example/v1/bills", "", ""},
		"no other host":       {base, `{"method":"get","endpoint":"//evil.example/x"}`, "GET", "https://a.example/v1/evil.example/x", "", ""},
		"object endpoint":     {`{}`, `{"method":"GET","endpoint":{"uri":"https://b.example/x?a=1#f"}}`, "GET", "https://b.example/x?a=1", "", ""},
		"query":               {`{}`, `{"method":"get","endpoint":"https://b.example/?a=1","query":{"a":2,"b":["x y",true]}}`, "GET", "https://b.example/?a=2&b=x+y&b=true", "", ""},
		"big numbers":         {`{}`, `{"method":"post","endpoint":"https://b.example","body":{"n":12345678901234567890.10}}`, "POST", "https://b.example", `{"n":12345678901234567890.10}`, "application/json"},
		"text":                {`{}`, `{"method":"post","endpoint":"https://b.example","headers":{"content-type":"text/csv"},"body":"a,b"}`, "POST", "https://b.example", "a,b", "text/csv"},
		"form":                {`null`, `{"method":"post","endpoint":"https://b.example","headers":{"Content-Type":"application/x-www-form-urlencoded"},"body":{"b":1,"a":"x&y"}}`, "POST", "https://b.example", "a=x%26y&b=1", "application/x-www-form-urlencoded"},
	} {
		t.Run(name, func(t *testing.T) {
			r, _, err := call(t, c.settings, c.input, &sdk.Response{Status: 200})
			require.NoError(t, err)
			assert.Equal(t, c.method, r.Method)
			assert.Equal(t, c.url, r.URL)
			assert.Equal(t, c.body, string(r.Body))
			if c.kind != "" {
				assert.Equal(t, []string{c.kind}, r.Header["Content-Type"])
			}
			assert.NotEmpty(t, r.Header["Accept"])
		})
	}
}

func TestRefusedArguments(t *testing.T) {
	for name, input := range map[string]string{
		"no JSON": `{`, "no method": `{"endpoint":"https://a.example"}`, "method": `{"method":"GET /","endpoint":"https://a.example"}`,
		"no endpoint": `{"method":"get"}`, "path without base": `{"method":"get","endpoint":"/x"}`,
		"scheme": `{"method":"get","endpoint":"file:///etc/passwd"}`, "user": `{"method":"get","endpoint":"https://u:p@a.example"}`,
		"host header": `{"method":"get","endpoint":"https://a.example","headers":{"host":"b.example"}}`,
		"split":       `{"method":"get","endpoint":"https://a.example","headers":{"x":"a\r\nb: c"}}`,
		"header name": `{"method":"get","endpoint":"https://a.example","headers":{"x y":"a"}}`,
		"query":       `{"method":"get","endpoint":"https://a.example","query":{"a":{"b":1}}}`,
		"output":      `{"method":"get","endpoint":"https://a.example","output":"all"}`,
		"body":        `{"method":"post","endpoint":"https://a.example","headers":{"content-type":"text/plain"},"body":{}}`,
	} {
		t.Run(name, func(t *testing.T) {
			r, _, err := call(t, `{}`, input, &sdk.Response{Status: 200})
			var f *sdk.Fault
			require.ErrorAs(t, err, &f)
			assert.Nil(t, r, "nothing is sent")
		})
	}
}

func TestOutputs(t *testing.T) {
	jsonType := map[string][]string{"Content-Type": {"application/problem+json; charset=utf-8"}, "X-A": {"1", "2"}}
	for name, c := range map[string]struct {
		output string
		resp   sdk.Response
		want   string
	}{
		"json":   {"content", sdk.Response{Status: 200, Header: jsonType, Body: []byte(`{"n":1.50}`)}, `{"n":1.50}`},
		"none":   {"content", sdk.Response{Status: 204}, `null`},
		"text":   {"content", sdk.Response{Status: 200, Header: map[string][]string{"content-type": {"text/plain"}}, Body: []byte("hé")}, `"hé"`},
		"binary": {"content", sdk.Response{Status: 200, Body: []byte{0xff}}, `"/w=="`},
		"raw":    {"raw", sdk.Response{Status: 200, Header: jsonType, Body: []byte(`{}`)}, `"e30="`},
		"response": {
			"response",
			sdk.Response{Status: 201, Header: jsonType, Body: []byte(`[1]`)},
			`{"request":{"method":"GET","uri":"https://a.example","headers":{"accept":"application/json, */*;q=0.5"}},"statusCode":201,
			"headers":{"content-type":"application/problem+json; charset=utf-8","x-a":"1, 2"},"content":[1]}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, out, err := call(t, `{}`, `{"method":"get","endpoint":"https://a.example","output":"`+c.output+`"}`, &c.resp)
			require.NoError(t, err)
			assert.JSONEq(t, c.want, out)
		})
	}
}

func TestFailures(t *testing.T) {
	problem := map[string][]string{"Content-Type": {"application/problem+json"}}
	_, _, err := call(t, `{}`, `{"method":"get","endpoint":"https://a.example"}`,
		&sdk.Response{Status: 422, Header: problem, Body: []byte(`{"title":"No","detail":"line\nbreak\u001b[31m"}`)})
	assert.Equal(t, &sdk.Fault{
		Type: sdk.FaultCommunication, Status: 422, Title: "The system answered 422 Unprocessable Entity", Detail: "No: line break[31m",
	}, err)
	_, _, err = call(t, `{}`, `{"method":"get","endpoint":"https://a.example"}`, &sdk.Response{Status: 302})
	require.Error(t, err)
	_, out, err := call(t, `{}`, `{"method":"get","endpoint":"https://a.example","redirect":true}`, &sdk.Response{Status: 302})
	require.NoError(t, err)
	assert.Equal(t, "null", out)
	_, _, err = call(t, `{}`, `{"method":"get","endpoint":"https://a.example"}`,
		&sdk.Response{Status: 200, Header: map[string][]string{"Content-Type": {"application/json"}}, Body: []byte("<html>")})
	require.Error(t, err)
}

// FuzzRequest: no input makes the action panic, or send to another host than
// the endpoint's or the base's.
func FuzzRequest(f *testing.F) {
	f.Add(`{"method":"get","endpoint":"/x","query":{"a":[1]},"headers":{"a":"b"},"body":{}}`)
	f.Fuzz(func(t *testing.T, input string) {
		egress := func(_ context.Context, r *sdk.Request) (*sdk.Response, error) {
			return &sdk.Response{Status: 200, Body: r.Body, Header: r.Header}, nil
		}
		call := sdk.NewCall(json.RawMessage(`{"base_url":"https://a.example"}`), json.RawMessage(input), egress)
		if out, err := http.Connector().Actions["request"](t.Context(), call); err == nil {
			_, err = json.Marshal(out)
			require.NoError(t, err)
		}
	})
}
