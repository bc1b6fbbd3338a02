package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tenonhq/tenon/schema"
)

// Problem is an error as RFC 9457 has it (invariant 10). It never holds a
// value that came in with the request.
type Problem struct { //nolint:errname // The name of RFC 9457.
	Type      string      `json:"type" example:"about:blank" doc:"Always about:blank: the code tells problems apart."`
	Title     string      `json:"title" example:"Not Found" doc:"The HTTP status in words."`
	Status    int         `json:"status" example:"404"`
	Code      schema.Code `json:"code" example:"not_found" doc:"Stable code of the kind of problem."`
	Detail    string      `json:"detail" doc:"What was wrong, for a person."`
	Pointer   string      `json:"pointer,omitempty" example:"/settings/base_url" doc:"JSON Pointer into the request body, or into the flow document."`
	Hint      string      `json:"hint,omitempty" doc:"What to do about it."`
	RequestID string      `json:"request_id,omitempty" doc:"Quote it when asking for help; the log has it too."`
	Errors    []Violation `json:"errors,omitempty" doc:"Every violation found, when there are several kinds."`

	header http.Header
}

// Violation is one thing wrong with a request.
type Violation struct {
	Detail    string `json:"detail"`
	Pointer   string `json:"pointer,omitempty" doc:"JSON Pointer into the request body."`
	Parameter string `json:"parameter,omitempty" example:"query.limit"`
}

// Error implements error.
func (p *Problem) Error() string { return string(p.Code) + ": " + p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders implements huma.HeadersError.
func (p *Problem) GetHeaders() http.Header { return p.header }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// statuses is the one place where a code becomes an HTTP status.
var statuses = map[schema.Code]int{
	schema.CodeInvalid:         http.StatusUnprocessableEntity,
	schema.CodeUnauthenticated: http.StatusUnauthorized,
	schema.CodeForbidden:       http.StatusForbidden,
	schema.CodeNotFound:        http.StatusNotFound,
	schema.CodeConflict:        http.StatusConflict,
	schema.CodeGone:            http.StatusGone,
	schema.CodeTooLarge:        http.StatusRequestEntityTooLarge,
	schema.CodeRateLimited:     http.StatusTooManyRequests,
	schema.CodeFull:            http.StatusInsufficientStorage,
	schema.CodeUnavailable:     http.StatusServiceUnavailable,
	schema.CodePutBack:         http.StatusServiceUnavailable,
	schema.CodeTimeout:         http.StatusGatewayTimeout,
	schema.CodeRefused:         http.StatusUnprocessableEntity,
	schema.CodeFenced:          http.StatusConflict,
	schema.CodeUncertain:       http.StatusConflict,
	schema.CodeInternal:        http.StatusInternalServerError,
}

// codes gives the statuses that Huma comes up with by itself their code.
var codes = map[int]schema.Code{
	http.StatusBadRequest:           schema.CodeInvalid,
	http.StatusUnprocessableEntity:  schema.CodeInvalid,
	http.StatusUnsupportedMediaType: schema.CodeInvalid,
	http.StatusNotAcceptable:        schema.CodeInvalid,
	http.StatusMethodNotAllowed:     schema.CodeInvalid,
	http.StatusRequestTimeout:       schema.CodeTimeout,
	http.StatusNotFound:             schema.CodeNotFound,

	http.StatusRequestEntityTooLarge: schema.CodeTooLarge,
}

const internalDetail = "the server failed; the log has the reason under the request id"

const notFoundDetail = "there is none, or it is not for this key"

// retryAfter is what a refused caller waits, in seconds.
const retryAfter = 1

// problemOf makes the answer of an error. An error that is not ours says
// nothing of itself.
func problemOf(ctx context.Context, err error) *Problem {
	var known *Problem
	if errors.As(err, &known) {
		known.RequestID = requestID(ctx)
		return known
	}
	p := &Problem{Type: "about:blank", RequestID: requestID(ctx)}
	var e *schema.Error
	switch {
	case errors.As(err, &e):
		p.Code, p.Detail, p.Pointer, p.Hint = e.Code, e.Message, e.Pointer, e.Hint
	case errors.Is(err, context.DeadlineExceeded):
		p.Code, p.Detail = schema.CodeTimeout, "the request took too long"
	case errors.Is(err, context.Canceled):
		p.Code, p.Detail = schema.CodeUnavailable, "the request was given up"
	default:
		p.Code = schema.CodeInternal
	}
	status, ok := statuses[p.Code]
	if !ok || p.Code == schema.CodeInternal {
		p.Code, status = schema.CodeInternal, http.StatusInternalServerError
		p.Detail, p.Pointer, p.Hint = internalDetail, "", ""
	}
	if p.Code == schema.CodeNotFound {
		// The same words for what is not there and for what is another's.
		p.Detail, p.Pointer, p.Hint = notFoundDetail, "", ""
	}
	p.Status, p.Title = status, http.StatusText(status)
	p.header = http.Header{}
	switch status {
	case http.StatusUnauthorized:
		p.header.Set("WWW-Authenticate", `Bearer realm="tenon"`)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		p.header.Set("Retry-After", strconv.Itoa(retryAfter))
	}
	return p
}

// adoptHuma makes Huma's own refusals problems of ours. Huma keeps the
// constructor in a package variable; ours holds no state, so that every
// server of the process shares it.
var adoptHuma = sync.OnceFunc(func() {
	huma.NewErrorWithContext = func(hc huma.Context, status int, message string, errs ...error) huma.StatusError {
		p := humaProblem(status, message, errs)
		if hc != nil {
			p.RequestID = requestID(hc.Context())
		}
		return p
	}
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		return humaProblem(status, message, errs)
	}
})

func humaProblem(status int, message string, errs []error) *Problem {
	if status == http.StatusInternalServerError {
		message, errs = internalDetail, nil
	}
	p := &Problem{Type: "about:blank", Status: status, Title: http.StatusText(status), Detail: message}
	p.Code = codes[status]
	if p.Code == "" {
		p.Code = schema.CodeInternal
	}
	for _, err := range errs {
		v := Violation{Detail: "the body cannot be read"}
		var d *huma.ErrorDetail
		if errors.As(err, &d) {
			v = violation(d, status)
		}
		p.Errors = append(p.Errors, v)
	}
	if len(p.Errors) > 0 {
		p.Detail, p.Pointer = p.Errors[0].Detail, p.Errors[0].Pointer
	}
	if len(p.Errors) == 1 && p.Errors[0].Parameter == "" {
		p.Errors = nil
	}
	if status == http.StatusRequestEntityTooLarge {
		p.Detail = "the request body is too large"
	}
	return p
}

// violation takes from Huma's detail what cannot hold a value of the request.
func violation(d *huma.ErrorDetail, status int) Violation {
	v := Violation{Detail: d.Message}
	in, rest, _ := strings.Cut(d.Location, ".")
	switch {
	case d.Location == "body" && status == http.StatusBadRequest:
		// The parser's message may quote what it tripped over.
		v.Detail = "the body is not valid JSON"
	case d.Location == "body" && status == http.StatusUnsupportedMediaType:
		v.Detail = "the body must be application/json"
	case in == "body" || strings.HasPrefix(in, "body["):
		v.Pointer = pointer(strings.TrimPrefix(in, "body"), rest)
	case plainName(rest):
		v.Parameter = d.Location
	default:
		v.Parameter = in
	}
	return v
}

// plainName says whether a name can be repeated in an answer. Whoever puts a
// secret where a name belongs does not read it back.
func plainName(name string) bool {
	return len(name) <= 32 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_0123456789") == ""
}

// pointer turns Huma's "a.b[0].c" into "/a/b/0/c", up to a token that is no
// plain name.
func pointer(index, path string) string {
	var b strings.Builder
	if path != "" {
		index += "." + path
	}
	for _, token := range strings.FieldsFunc(index, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		if !plainName(token) {
			break
		}
		b.WriteByte('/')
		b.WriteString(token)
	}
	return b.String()
}
