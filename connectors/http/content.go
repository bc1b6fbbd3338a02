package http

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tenonhq/tenon/plugins/sdk"
)

// maxDetail bounds what a fault tells of an answer.
const maxDetail = 500

// encode makes the body that the content type of the header asks for.
func encode(body json.RawMessage, header map[string][]string) ([]byte, error) {
	if len(body) == 0 || bytes.Equal(body, []byte("null")) {
		return nil, nil
	}
	if header["Content-Type"] == nil {
		header["Content-Type"] = []string{"application/json"}
	}
	kind, _, err := mime.ParseMediaType(header["Content-Type"][0])
	if err != nil {
		return nil, invalid(sdk.FaultValidation, "The Content-Type is not valid", "/headers")
	}
	if isJSON(kind) {
		return body, nil
	}
	var text string
	if json.Unmarshal(body, &text) == nil {
		return []byte(text), nil
	}
	if kind == "application/x-www-form-urlencoded" {
		return form(body)
	}
	return nil, invalid(sdk.FaultValidation, "A body of this Content-Type must be text", "/body")
}

func form(body json.RawMessage) ([]byte, error) {
	var fields map[string]any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&fields); err != nil {
		return nil, invalid(sdk.FaultValidation, "A form must be an object", "/body")
	}
	u := &url.URL{}
	if err := addQuery(u, fields); err != nil {
		return nil, invalid(sdk.FaultValidation, "A form's field must be text, a number, a truth value, or a list of those", "/body")
	}
	return []byte(u.RawQuery), nil
}

// response is the HTTP response of the specification.
type response struct {
	Request    sent              `json:"request"`
	StatusCode int               `json:"statusCode"`
	Headers    map[string]string `json:"headers,omitempty"`
	Content    any               `json:"content"`
}

// sent is the HTTP request of the specification: what this connector asked for,
// without what the host added.
type sent struct {
	Method  string            `json:"method"`
	URI     string            `json:"uri"`
	Headers map[string]string `json:"headers,omitempty"`
}

func output(kind string, req *sdk.Request, resp *sdk.Response) (any, error) {
	if kind == "raw" {
		if len(resp.Body) == 0 {
			return nil, nil //nolint:nilnil // no content is null, as the specification has it
		}
		return base64.StdEncoding.EncodeToString(resp.Body), nil
	}
	content, err := decode(resp)
	if err != nil || kind == "content" {
		return content, err
	}
	return response{
		Request:    sent{Method: req.Method, URI: req.URL, Headers: flat(req.Header)},
		StatusCode: resp.Status, Headers: flat(resp.Header), Content: content,
	}, nil
}

// decode gives the content by its type.
func decode(resp *sdk.Response) (any, error) {
	if len(resp.Body) == 0 {
		return nil, nil //nolint:nilnil // no content is null, as the specification has it
	}
	kind, params := mediaType(resp)
	switch {
	case isJSON(kind):
		body := bytes.TrimPrefix(resp.Body, []byte("\ufeff"))
		if !json.Valid(body) {
			return nil, &sdk.Fault{Type: sdk.FaultCommunication, Status: 502, Title: "The answer says it is JSON and is not"}
		}
		return json.RawMessage(body), nil
	case isText(kind) && utf8.Valid(resp.Body) && unicodeText(params):
		return string(resp.Body), nil
	}
	return base64.StdEncoding.EncodeToString(resp.Body), nil
}

func mediaType(resp *sdk.Response) (string, map[string]string) {
	for name, values := range resp.Header {
		if strings.EqualFold(name, "Content-Type") && len(values) > 0 {
			if kind, params, err := mime.ParseMediaType(values[0]); err == nil {
				return kind, params
			}
		}
	}
	return "", nil
}

func isJSON(kind string) bool {
	return kind == "application/json" || kind == "text/json" || strings.HasSuffix(kind, "+json")
}

func isText(kind string) bool {
	return strings.HasPrefix(kind, "text/") || kind == "application/xml" || strings.HasSuffix(kind, "+xml") ||
		kind == "application/x-www-form-urlencoded" || kind == "application/yaml"
}

func unicodeText(params map[string]string) bool {
	charset := strings.ToLower(params["charset"])
	return charset == "" || charset == "utf-8" || charset == "us-ascii"
}

// flat joins the values of each header, under lower-case names.
func flat(header map[string][]string) map[string]string {
	out := make(map[string]string, len(header))
	for name, values := range header {
		out[strings.ToLower(name)] = strings.ToValidUTF8(strings.Join(values, ", "), "\ufffd")
	}
	return out
}

// failure tells of an answer that is none: its status, and a part of it.
func failure(resp *sdk.Response) *sdk.Fault {
	title := fmt.Sprintf("The system answered %d", resp.Status)
	if text := http.StatusText(resp.Status); text != "" {
		title += " " + text
	}
	return &sdk.Fault{Type: sdk.FaultCommunication, Status: resp.Status, Title: title, Detail: detail(resp)}
}

func detail(resp *sdk.Response) string {
	kind, _ := mediaType(resp)
	if kind == "application/problem+json" {
		var problem struct {
			Title  string `json:"title"`
			Detail string `json:"detail"`
		}
		if json.Unmarshal(resp.Body, &problem) == nil && problem.Title+problem.Detail != "" {
			return excerpt([]byte(strings.Trim(problem.Title+": "+problem.Detail, ": ")))
		}
	}
	if isJSON(kind) || isText(kind) {
		return excerpt(resp.Body)
	}
	return ""
}

// excerpt is the beginning of a text, without control characters.
func excerpt(text []byte) string {
	cut := strings.ToValidUTF8(string(text[:min(len(text), maxDetail)]), "")
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, cut))
}
