package flow

import (
	"slices"
	"time"
)

func (d *decoder) raise(n *node, at string) *Template {
	o, ok := d.object(n, at)
	if !ok {
		return nil
	}
	defer o.done()
	n, at, ok = o.require("error")
	if !ok {
		return nil
	}
	if n.kind == kindString {
		t, ok := d.use.errors[n.text]
		if !ok {
			_ = d.bad(at, "no error of this name is declared").Advise("Declare it under use.errors.")
		}
		return t
	}
	return d.errorObject(n, at)
}

// errorObject reads an error: its literal type becomes canonical.
func (d *decoder) errorObject(n *node, at string) *Template {
	o, ok := d.object(n, at)
	if !ok {
		return nil
	}
	out := &node{kind: kindObject}
	put := func(name string, v *node) { out.keys, out.items = append(out.keys, name), append(out.items, v) }
	for _, name := range []string{"type", "title", "detail", "instance"} {
		n, at, ok := o.take(name)
		switch {
		case !ok && name == "type":
			d.bad(o.at, `"type" is missing`)
		case !ok:
		case n.kind != kindString:
			d.bad(at, "must be a string, not %s", n.kind)
		case name == "type" && n.text == "":
			d.bad(at, "must be a URI")
		case name == "type":
			put(name, stringNode(ErrorType(d.normaliseString(n, at, nil).text)))
		default:
			put(name, d.normaliseString(n, at, nil))
		}
	}
	if n, at, ok := o.require("status"); ok {
		if status, good := wholeNumber(n); !good || status < 100 || status > 599 {
			d.bad(at, "must be a status code from 100 to 599")
		} else {
			put("status", n)
		}
	}
	o.done()
	return template(out)
}

func (d *decoder) try(n *node, at string, parent *object) *Try {
	out := &Try{Catch: &Catch{As: "error"}}
	out.Do = d.list(n, at)
	n, at, ok := parent.require("catch")
	if !ok {
		return out
	}
	o, ok := d.object(n, at)
	if !ok {
		return out
	}
	c := out.Catch
	if n, at, ok := o.take("errors"); ok {
		c.With = d.filter(n, at)
	}
	d.name(o, "as", &c.As)
	scope := d.vars
	d.vars = append(slices.Clone(d.vars), "$"+c.As)
	if n, at, ok := o.take("when"); ok {
		c.When = d.expression(n, at)
	}
	if n, at, ok := o.take("exceptWhen"); ok {
		c.ExceptWhen = d.expression(n, at)
	}
	if n, at, ok := o.take("retry"); ok {
		c.Retry = d.retryOrName(n, at)
	}
	if n, at, ok := o.take("do"); ok {
		c.Do = d.list(n, at)
	}
	d.vars = scope
	o.done()
	return out
}

// filter reads the static filter of a catch. The specification writes
// "details" in its schema and "detail" in its text: both are read.
func (d *decoder) filter(n *node, at string) *Template {
	o, ok := d.object(n, at)
	if !ok {
		return nil
	}
	defer o.done()
	n, at, ok = o.take("with")
	if !ok {
		return nil
	}
	o2, ok := d.object(n, at)
	if !ok {
		return nil
	}
	defer o2.done()
	out := &node{kind: kindObject}
	if len(n.keys) == 0 {
		d.bad(at, "filters by nothing")
	}
	for _, name := range []string{"type", "instance", "title", "detail", "details"} {
		n, at, ok := o2.take(name)
		if !ok {
			continue
		}
		text := d.str(n, at)
		if _, wrapped := unwrap(text); wrapped {
			_ = d.bad(at, "this filter is static").Advise("Write the condition under catch.when.")
			continue
		}
		switch name {
		case "type":
			text = ErrorType(text)
		case "details":
			if o2.has("detail") {
				d.bad(at, `stands beside "detail"`)
				continue
			}
			name = "detail"
		}
		out.keys, out.items = append(out.keys, name), append(out.items, stringNode(text))
	}
	if n, at, ok := o2.take("status"); ok {
		if _, good := wholeNumber(n); !good {
			d.bad(at, "must be a status code, a whole number")
		}
		out.keys, out.items = append(out.keys, "status"), append(out.items, n)
	}
	return template(out)
}

func (d *decoder) retryOrName(n *node, at string) *Retry {
	if n.kind != kindString {
		return d.retry(n, at)
	}
	named, ok := d.use.retries[n.text]
	if !ok {
		_ = d.bad(at, "no retry policy of this name is declared").Advise("Declare it under use.retries.")
		return nil
	}
	// Its conditions see the variables of this catch, so it is read here; what
	// does not depend on them was reported at its declaration.
	return d.retry(named, Pointer("", "use", "retries", n.text))
}

func (d *decoder) retry(n *node, at string) *Retry {
	o, ok := d.object(n, at)
	if !ok {
		return nil
	}
	r := &Retry{Backoff: BackoffConstant}
	if n, at, ok := o.take("when"); ok {
		r.When = d.expression(n, at)
	}
	if n, at, ok := o.take("exceptWhen"); ok {
		r.ExceptWhen = d.expression(n, at)
	}
	r.Delay = d.span(o, "delay")
	if n, at, ok := o.take("backoff"); ok {
		r.Backoff = d.backoff(n, at)
	}
	if n, at, ok := o.take("limit"); ok {
		d.limit(r, n, at)
	}
	if n, at, ok := o.take("jitter"); ok {
		if o, ok := d.object(n, at); ok {
			for _, bound := range []string{"from", "to"} {
				if !o.has(bound) {
					d.bad(at, "%q is missing", bound)
				}
			}
			r.JitterFrom, r.JitterTo = d.span(o, "from"), d.span(o, "to")
			if r.JitterFrom > r.JitterTo && o.has("to") {
				d.bad(Pointer(at, "to"), `must not be shorter than "from"`)
			}
			o.done()
		}
	}
	o.done()
	if r.longest() >= LongPause {
		// Its runs may park for long, so none of them shares a carrier.
		d.doc.Straight = false
	}
	return r
}

// LongPause is the pause before a retry from which on a run counts as waiting:
// it may hibernate meanwhile, and should not hold a carrier that others share.
const LongPause = 5 * time.Second

// longest is the longest pause that the policy can come to, or LongPause when
// that is reached.
func (r *Retry) longest() time.Duration {
	if r.Delay >= LongPause || r.JitterTo >= LongPause {
		return LongPause
	}
	d := r.Delay
	for n := 1; d > 0 && d < LongPause && (r.Attempts == 0 || n < r.Attempts); n++ {
		switch r.Backoff {
		case BackoffLinear:
			d += r.Delay
		case BackoffExponential:
			d *= 2
		case BackoffConstant:
			return d + r.JitterTo
		}
	}
	return d + r.JitterTo
}

func (d *decoder) limit(r *Retry, n *node, at string) {
	o, ok := d.object(n, at)
	if !ok {
		return
	}
	r.Duration = d.span(o, "duration")
	if n, at, ok := o.take("attempt"); ok {
		if o, ok := d.object(n, at); ok {
			r.AttemptDuration = d.span(o, "duration")
			if n, at, ok := o.take("count"); ok {
				count, good := wholeNumber(n)
				if !good || count < 1 || count > 1_000_000 {
					_ = d.bad(at, "must be a whole number from 1").Advise("Leave it out for no bound by count.")
				}
				r.Attempts = int(count)
			}
			o.done()
		}
	}
	o.done()
}

func (d *decoder) backoff(n *node, at string) Backoff {
	o, ok := d.object(n, at)
	if !ok {
		return BackoffConstant
	}
	out := BackoffConstant
	if len(n.keys) != 1 {
		d.bad(at, "must have one of constant, linear and exponential")
	}
	for _, b := range []Backoff{BackoffConstant, BackoffLinear, BackoffExponential} {
		n, at, ok := o.take(string(b))
		if !ok {
			continue
		}
		out = b
		if o, ok := d.object(n, at); ok {
			o.done(n.keys...)
		}
	}
	o.done()
	return out
}

// span is a duration that must be known when the flow is deployed.
func (d *decoder) span(o *object, name string) time.Duration {
	n, at, ok := o.take(name)
	if !ok {
		return 0
	}
	if dynamic(n) {
		d.unsupported(at, "an expression for a retry's duration")
		return 0
	}
	v, err := ParseDuration(raw(n))
	if err != nil {
		d.reportAt(err, at)
	}
	return v
}
