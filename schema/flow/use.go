package flow

import (
	"slices"
	"strconv"
)

// uses are the reusable parts that a document declares.
type uses struct {
	errors   map[string]*Template
	timeouts map[string]*Template
	retries  map[string]*node
	// connections maps the name of a declared authentication to the connection
	// whose credential it uses.
	connections map[string]string
	functions   map[string]bool
}

func (d *decoder) definitions(n *node, at string) {
	o, ok := d.object(n, at)
	if !ok {
		return
	}
	d.use = uses{
		errors: map[string]*Template{}, timeouts: map[string]*Template{}, retries: map[string]*node{},
		connections: map[string]string{}, functions: map[string]bool{},
	}
	d.each(o, "errors", func(name string, n *node, at string) { d.use.errors[name] = d.errorObject(n, at) })
	d.each(o, "timeouts", func(name string, n *node, at string) { d.use.timeouts[name] = d.timeoutObject(n, at) })
	d.each(o, "retries", func(name string, n *node, at string) {
		d.use.retries[name] = n
		// Conditions are checked where the policy is used, with the variables there.
		static := &node{kind: n.kind}
		for i, key := range n.keys {
			if key != "when" && key != "exceptWhen" {
				static.keys, static.items = append(static.keys, key), append(static.items, n.items[i])
			}
		}
		d.retry(static, at)
	})
	d.each(o, "authentications", func(name string, n *node, at string) {
		d.use.connections[name] = d.authentication(n, at)
	})
	if n, at, ok := o.take("secrets"); ok {
		d.secrets(n, at)
	}
	if n, _, ok := o.take("functions"); ok {
		o.taken["functions"] = false
		for _, name := range n.keys {
			d.use.functions[name] = true
		}
	}
	o.done("functions", "extensions", "catalogs")
}

func (d *decoder) each(parent *object, name string, read func(name string, n *node, at string)) {
	n, at, ok := parent.take(name)
	if !ok {
		return
	}
	if _, ok := d.object(n, at); !ok {
		return
	}
	for i, key := range n.keys {
		read(key, n.items[i], Pointer(at, key))
	}
}

// secrets are names only; each names a connection of the namespace.
func (d *decoder) secrets(n *node, at string) {
	if n.kind != kindArray {
		d.bad(at, "must be a list of names, not %s", n.kind)
		return
	}
	for i, item := range n.items {
		if d.str(item, index(at, i)) == "" {
			d.bad(at+"/"+strconv.Itoa(i), "must be the name of a connection")
		}
	}
}

// schemes are the ways of authentication that the specification knows.
var schemes = []string{"basic", "bearer", "digest", "oauth2", "oidc"}

// authentication gives the connection whose credential a policy uses:
// "use: NAME" of a declared policy is what that one uses, of another name the
// connection of that name; "bearer: { use: NAME }" names a connection as well.
// What holds a credential itself is refused (invariant 1).
func (d *decoder) authentication(n *node, at string) string {
	o, ok := d.object(n, at)
	if !ok {
		return ""
	}
	if len(n.keys) != 1 {
		d.bad(at, "must have one of use, basic, bearer, digest, oauth2 and oidc")
		return ""
	}
	if o.has("use") {
		return d.resolve(o)
	}
	if !slices.Contains(schemes, n.keys[0]) {
		o.done()
		return ""
	}
	n, at, _ = o.take(n.keys[0])
	policy, ok := d.object(n, at)
	if !ok {
		return ""
	}
	if !policy.has("use") {
		d.credential(at, "a credential cannot stand in a flow document")
		return ""
	}
	defer policy.done()
	return d.connection(policy)
}

func (d *decoder) resolve(o *object) string {
	name := d.connection(o)
	if target, declared := d.use.connections[name]; declared {
		return target
	}
	return name
}

func (d *decoder) connection(o *object) string {
	n, at, _ := o.take("use")
	name := d.str(n, at)
	if n.kind == kindString && !connectionForm.MatchString(name) {
		d.bad(at, "must be the name or id of a connection")
		return ""
	}
	return name
}
