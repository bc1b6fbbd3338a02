package http

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"github.com/tenonhq/tenon/plugins/sdk"
)

type settings struct {
	BaseURL  string            `json:"base_url"`
	TestPath string            `json:"test_path"`
	Headers  map[string]string `json:"headers"`
}

func parseSettings(raw json.RawMessage) (settings, error) {
	var set settings
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &set); err != nil {
			return set, invalid(sdk.FaultConfiguration, "The connection's settings are not valid", "")
		}
	}
	return set, nil
}

type arguments struct {
	Method   string          `json:"method"`
	Endpoint endpoint        `json:"endpoint"`
	Headers  map[string]any  `json:"headers"`
	Query    map[string]any  `json:"query"`
	Body     json.RawMessage `json:"body"`
	Output   string          `json:"output"`
	Redirect bool            `json:"redirect"`
}

// endpoint is an address, or an object with one.
type endpoint string

// UnmarshalJSON implements json.Unmarshaler.
func (e *endpoint) UnmarshalJSON(data []byte) error {
	if bytes.HasPrefix(data, []byte("{")) {
		var object struct {
			URI string `json:"uri"`
		}
		err := json.Unmarshal(data, &object)
		*e = endpoint(object.URI)
		return err
	}
	return json.Unmarshal(data, (*string)(e))
}

// request is the action.
func request(ctx context.Context, call *sdk.Call) (any, error) {
	set, err := parseSettings(call.Settings)
	if err != nil {
		return nil, err
	}
	args, err := parse(call.Input)
	if err != nil {
		return nil, err
	}
	req, err := build(set, args)
	if err != nil {
		return nil, err
	}
	resp, err := call.HTTP(ctx, req)
	if err != nil {
		return nil, err
	}
	most := 299
	if args.Redirect {
		most = 399
	}
	if resp.Status < 200 || resp.Status > most {
		return nil, failure(resp)
	}
	return output(args.Output, req, resp)
}

func parse(input json.RawMessage) (arguments, error) {
	args := arguments{Output: "content"}
	d := json.NewDecoder(bytes.NewReader(input))
	d.UseNumber()
	if err := d.Decode(&args); err != nil {
		return args, invalid(sdk.FaultValidation, "The arguments are not those of an HTTP call", "")
	}
	switch {
	case !token(args.Method):
		return args, invalid(sdk.FaultValidation, "The method is not valid", "/method")
	case args.Endpoint == "":
		return args, invalid(sdk.FaultValidation, "The endpoint is missing", "/endpoint")
	case !slices.Contains([]string{"content", "raw", "response"}, args.Output):
		return args, invalid(sdk.FaultValidation, "The output must be content, raw or response", "/output")
	}
	args.Method = strings.ToUpper(args.Method)
	return args, nil
}

// build makes the request.
func build(set settings, args arguments) (*sdk.Request, error) {
	target, err := resolve(set.BaseURL, string(args.Endpoint))
	if err != nil {
		return nil, err
	}
	if err := addQuery(target, args.Query); err != nil {
		return nil, err
	}
	header := make(map[string][]string)
	for name, value := range set.Headers {
		if err := setHeader(header, name, value); err != nil {
			return nil, err
		}
	}
	for name, value := range args.Headers {
		text, ok := scalar(value)
		if !ok {
			return nil, invalid(sdk.FaultValidation, "A header must be text, a number or a truth value", "/headers")
		}
		if err := setHeader(header, name, text); err != nil {
			return nil, err
		}
	}
	if header["Accept"] == nil {
		header["Accept"] = []string{"application/json, */*;q=0.5"}
	}
	body, err := encode(args.Body, header)
	if err != nil {
		return nil, err
	}
	return &sdk.Request{Method: args.Method, URL: target.String(), Header: header, Body: body}, nil
}

// resolve gives the address: the endpoint, or the path below base that it is.
// A path cannot name another host: it is appended, not resolved.
func resolve(base, endpoint string) (*url.URL, error) {
	if !strings.Contains(endpoint, "://") {
		if base == "" {
			return nil, invalid(sdk.FaultConfiguration, "The endpoint is a path, and the connection has no base address", "/endpoint")
		}
		endpoint = strings.TrimRight(base, "/") + "/" + strings.TrimLeft(endpoint, "/")
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil {
		return nil, invalid(sdk.FaultConfiguration, "The endpoint is no HTTP address", "/endpoint")
	}
	u.Fragment, u.RawFragment = "", ""
	return u, nil
}

func addQuery(u *url.URL, query map[string]any) error {
	if len(query) == 0 {
		return nil
	}
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return invalid(sdk.FaultConfiguration, "The endpoint's query is not valid", "/endpoint")
	}
	for name, value := range query {
		list, ok := value.([]any)
		if !ok {
			list = []any{value}
		}
		values.Del(name)
		for _, item := range list {
			text, ok := scalar(item)
			if !ok {
				return invalid(sdk.FaultValidation, "A query parameter must be text, a number, a truth value, or a list of those", "/query")
			}
			values.Add(name, text)
		}
	}
	u.RawQuery = values.Encode()
	return nil
}

// framing belongs to the connection between host and system.
var framing = []string{
	"Connection", "Content-Length", "Host", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade",
}

func setHeader(header map[string][]string, name, value string) error {
	canonical := textproto.CanonicalMIMEHeaderKey(name)
	if !token(name) || slices.Contains(framing, canonical) {
		return invalid(sdk.FaultValidation, "A header's name is not valid here", "/headers")
	}
	if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return invalid(sdk.FaultValidation, "A header's value has control characters", "/headers")
	}
	header[canonical] = []string{value}
	return nil
}

// token tells whether s is a token of HTTP.
func token(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

func scalar(v any) (string, bool) {
	switch x := v.(type) {
	case string:
		return x, true
	case json.Number:
		return x.String(), true
	case bool:
		return fmt.Sprint(x), true
	}
	return "", false
}

// invalid is a fault in what the flow or the connection asks for; at points at
// the argument, and nothing of it is quoted.
func invalid(kind, title, at string) *sdk.Fault {
	f := &sdk.Fault{Type: kind, Status: 400, Title: title}
	if at != "" {
		f.Detail = "see " + at + " of the call's arguments"
	}
	return f
}
