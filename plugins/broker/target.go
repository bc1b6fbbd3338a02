package broker

import (
	"net/url"
	"strings"

	"github.com/tenonhq/tenon/schema"
)

const maxURL = 8 << 10

// target is a connector's URL, taken apart once. What is sent is rebuilt from
// it; the text itself is never passed on.
type target struct {
	scheme string
	origin origin
	path   string // escaped, begins with a slash
	query  string // raw, printable ASCII
}

func invalidURL(reason string) error {
	return schema.Errorf(schema.CodeInvalid, "the request's URL cannot be used: %s", reason).At("/url")
}

// parseTarget reads an absolute http or https URL. It is stricter than
// net/url: whatever two parsers could read differently is an error.
func parseTarget(raw string) (target, error) {
	if len(raw) > maxURL {
		return target{}, invalidURL("it is longer than 8 KiB")
	}
	for i := range len(raw) {
		if c := raw[i]; c <= ' ' || c == 0x7f || c == '\\' {
			return target{}, invalidURL("it holds a space, a control character or a backslash")
		}
	}
	scheme, rest, found := strings.Cut(raw, "://")
	scheme = strings.ToLower(scheme)
	if !found || scheme != "https" && scheme != "http" {
		return target{}, invalidURL("it must begin with https:// (or http://) and a host")
	}
	rest, _, _ = strings.Cut(rest, "#")
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	authority := rest[:end]
	if strings.ContainsAny(authority, "@%") {
		return target{}, invalidURL("user information, zones and escapes are not allowed in the host")
	}
	o, err := parseOrigin(authority)
	if err != nil {
		return target{}, invalidURL(err.Error())
	}
	if o.port == 0 {
		o.port = defaultPort(scheme)
	}
	path, query, _ := strings.Cut(rest[end:], "?")
	if path == "" {
		path = "/"
	}
	path, err = escapePath(path)
	if err != nil {
		return target{}, err
	}
	return target{scheme: scheme, origin: o, path: path, query: escapeHigh(query)}, nil
}

// escapePath escapes what a request line cannot carry and leaves what is
// already escaped.
func escapePath(path string) (string, error) {
	decoded, err := url.PathUnescape(path)
	if err != nil {
		return "", invalidURL("its path holds a broken percent escape")
	}
	u := url.URL{Path: decoded, RawPath: path}
	escaped := u.EscapedPath()
	if again, err := url.PathUnescape(escaped); err != nil || again != decoded {
		return "", invalidURL("its path cannot be escaped")
	}
	return escaped, nil
}

// escapeHigh escapes bytes outside ASCII; a query is otherwise sent as written.
func escapeHigh(s string) string {
	if isASCII(s) {
		return s
	}
	var out strings.Builder
	for i := range len(s) {
		if s[i] < 0x80 {
			out.WriteByte(s[i])
		} else {
			const digits = "0123456789ABCDEF"
			out.Write([]byte{'%', digits[s[i]>>4], digits[s[i]&15]})
		}
	}
	return out.String()
}

func defaultPort(scheme string) uint16 {
	if scheme == "http" {
		return 80
	}
	return 443
}

// hostHeader is the Host header: the port only where it is not the default.
func (t target) hostHeader() string {
	if t.origin.port == defaultPort(t.scheme) {
		return strings.TrimSuffix(t.origin.String(), map[string]string{"http": ":80", "https": ":443"}[t.scheme])
	}
	return t.origin.String()
}

// url is the URL as net/http sends it. Path and RawPath agree, so that the
// path on the wire is the one that was checked.
func (t target) url(query string) *url.URL {
	decoded, err := url.PathUnescape(t.path)
	if err != nil { // parseTarget and bind leave only paths that decode
		decoded = t.path
	}
	return &url.URL{Scheme: t.scheme, Host: t.hostHeader(), Path: decoded, RawPath: t.path, RawQuery: query}
}
