package flow

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

var (
	connectionForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$`)
	// connectorCall is NAME.ACTION:VERSION@CONNECTION, the last part optional.
	connectorCall = regexp.MustCompile(
		`^([a-z][a-z0-9-]{0,62})\.([A-Za-z][A-Za-z0-9_-]{0,62}):([0-9]+(?:\.[0-9]+){0,2}(?:-[0-9A-Za-z.-]+)?)(?:@([A-Za-z0-9][A-Za-z0-9_.-]{0,127}))?$`)
	method      = regexp.MustCompile(`^[A-Za-z]{1,20}$`)
	absoluteURI = regexp.MustCompile(`^[Hh][Tt][Tt][Pp][Ss]?://[^/?#\s]+`)
	userinfo    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*@`)
	uriVariable = regexp.MustCompile(`\{([^{}]*)\}`)
	simpleName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	// protocols are the calls of the specification that are not executed yet.
	protocols = []string{"asyncapi", "grpc", "openapi", "a2a", "mcp"}
	// credentialHeaders are set by the broker, from the connection, and by nobody else.
	credentialHeaders = []string{"authorization", "proxy-authorization"}
)

func (d *decoder) call(n *node, at string, parent *object) *Call {
	name := d.str(n, at)
	with, withAt, given := parent.take("with")
	if given && with.kind != kindObject {
		d.bad(withAt, "must be an object, not %s", with.kind)
		return nil
	}
	switch m := connectorCall.FindStringSubmatch(name); {
	case n.kind != kindString:
	case name == "http":
		if !given {
			d.bad(parent.at, `"with" is missing`)
			return nil
		}
		return d.http(with, withAt)
	case slices.Contains(protocols, name):
		d.unsupported(at, "the call "+name)
	case m != nil:
		c := &Call{Connector: m[1], Action: m[2], Version: m[3], Connection: m[4], With: Template{JSON: []byte("{}"), Literal: true}}
		if given {
			c.With = *d.template(with, withAt)
		}
		return c
	case d.use.functions[name], strings.Contains(name, "://"), strings.Contains(name, "@"):
		d.unsupported(at, "a function of the document or of a catalog")
	default:
		_ = d.bad(at, "no such function").Advise("Write http, or CONNECTOR.ACTION:VERSION@CONNECTION.")
	}
	return nil
}

// http reads the arguments of "call: http" and gives them as the http
// connector takes them: endpoint is a URI, and names no authentication.
func (d *decoder) http(n *node, at string) *Call {
	o, ok := d.object(n, at)
	if !ok {
		return nil
	}
	c := &Call{Connector: "http", Action: "request"}
	out := &node{kind: kindObject}
	put := func(name string, v *node) {
		if v != nil {
			out.keys, out.items = append(out.keys, name), append(out.items, v)
		}
	}
	if n, at, ok := o.require("method"); ok {
		put("method", d.method(n, at))
	}
	if n, at, ok := o.require("endpoint"); ok {
		put("endpoint", d.endpoint(c, n, at))
	}
	for _, name := range []string{"headers", "query"} {
		if n, at, ok := o.take(name); ok {
			put(name, d.parameters(n, at))
		}
	}
	if n, at, ok := o.take("body"); ok {
		put("body", d.normalise(n, at, nil))
	}
	if n, at, ok := o.take("output"); ok {
		if !slices.Contains([]string{"raw", "content", "response"}, d.str(n, at)) {
			d.bad(at, "must be raw, content or response")
		}
		put("output", n)
	}
	o.boolean("redirect")
	if n, ok := o.n.get("redirect"); ok {
		put("redirect", n)
	}
	o.done()
	c.With = *template(out)
	return c
}

func (d *decoder) method(n *node, at string) *node {
	s := d.str(n, at)
	if dynamic(n) {
		return d.normaliseString(n, at, nil)
	}
	if n.kind == kindString && !method.MatchString(s) {
		d.bad(at, "must be an HTTP method")
	}
	return stringNode(strings.ToUpper(n.text))
}

// endpoint is a URI, a URI template, an expression, or an object with a "uri"
// and an authentication.
func (d *decoder) endpoint(c *Call, n *node, at string) *node {
	if n.kind != kindObject {
		return d.uri(n, at, false)
	}
	o, _ := d.object(n, at)
	defer o.done()
	if n, at, ok := o.take("authentication"); ok {
		if n.kind == kindString {
			_ = d.bad(at, "must be an object, not a string").Advise("Write authentication: { use: NAME }.")
		} else {
			c.Connection = d.authentication(n, at)
		}
	}
	if n, at, ok := o.require("uri"); ok {
		return d.uri(n, at, c.Connection != "")
	}
	return nil
}

// uri checks a literal URI; the variables of a URI template become an
// expression over the fields of the task's input.
func (d *decoder) uri(n *node, at string, connected bool) *node {
	s := d.str(n, at)
	switch {
	case n.kind != kindString:
		return nil
	case dynamic(n):
		return d.normaliseString(n, at, nil)
	case userinfo.MatchString(s):
		d.credential(at, "a URI cannot hold a user name or a password")
	case connected && strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "//"):
		// Relative to the base URL of the connection.
	case !absoluteURI.MatchString(s):
		_ = d.bad(at, "must be an absolute http or https URI").
			Advise("A path that begins with / is allowed when the endpoint names a connection.")
	}
	return d.expand(n, at)
}

// expand turns "{name}" into the percent-encoded field of the input. A field
// that is missing fails the call, and so does one that would empty or climb a
// segment of the path: it would address another resource.
func (d *decoder) expand(n *node, at string) *node {
	if !strings.ContainsAny(n.text, "{}") {
		return n
	}
	var b strings.Builder
	b.WriteString(`. as $in | @uri "`)
	last, missing := 0, ""
	for _, m := range uriVariable.FindAllStringSubmatchIndex(n.text, -1) {
		name := n.text[m[2]:m[3]]
		if !simpleName.MatchString(name) {
			missing = name
			break
		}
		b.WriteString(quoteInner(n.text[last:m[0]]))
		quoted := string(appendString(nil, name))
		b.WriteString(`\($in[` + quoted + `] | if . == null` + unfit(n.text[:m[0]]) +
			` then error("no value for ` + name + ` in the input that the URI can hold") else . end)`)
		last = m[1]
	}
	rest := n.text[last:]
	if missing != "" || strings.ContainsAny(rest, "{}") {
		d.unsupported(at, "a URI template beyond {name}")
		return n
	}
	b.WriteString(quoteInner(rest))
	b.WriteString(`"`)
	if err := d.compile(b.String(), nil); err != nil {
		d.bad(at, "not a URI template: %s", err)
	}
	return wrap(b.String())
}

// unfit gives the condition on a value after the given part of a URI: dots are
// not percent-encoded, so "." and ".." would still be read as steps of the path.
func unfit(before string) string {
	if strings.ContainsAny(before, "?#") {
		return ""
	}
	return ` or (tostring | . == "" or . == "." or . == "..")`
}

// quoteInner writes text as the inside of a jq string; a JSON string's
// escapes are jq's, and no backslash of the text survives to interpolate.
func quoteInner(s string) string {
	q := appendString(nil, s)
	return string(q[1 : len(q)-1])
}

// parameters are an expression, or an object of scalars and expressions.
func (d *decoder) parameters(n *node, at string) *node {
	if n.kind == kindString && dynamic(n) {
		return d.normaliseString(n, at, nil)
	}
	if n.kind != kindObject {
		d.bad(at, "must be an object or an expression, not %s", n.kind)
		return nil
	}
	for i, key := range n.keys {
		here := Pointer(at, key)
		switch v := n.items[i]; v.kind {
		case kindString, kindNumber, kindBool:
		case kindNull, kindArray, kindObject:
			d.bad(here, "must be a string, not %s", v.kind)
		}
		if strings.HasSuffix(at, "/headers") && slices.Contains(credentialHeaders, strings.ToLower(strings.TrimSpace(key))) {
			d.credential(here, "this header cannot stand in a flow document")
		}
	}
	return d.normalise(n, at, nil)
}

var wholeForm = regexp.MustCompile(`^-?[0-9]{1,18}$`)

// wholeNumber reads an integer written without fraction and exponent.
func wholeNumber(n *node) (int64, bool) {
	if n.kind != kindNumber || !wholeForm.MatchString(n.text) {
		return 0, false
	}
	i, err := strconv.ParseInt(n.text, 10, 64)
	return i, err == nil
}
