package jq

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/itchyny/gojq"
)

// The bounds of one batch. Memory and time are bounded from outside, by the
// process's limits and by the pool's timeout.
const (
	// MaxSteps bounds the steps of all expressions of a batch.
	MaxSteps = 2_000_000
	// MaxOutput bounds the bytes of all values that a batch yields.
	MaxOutput = 8 << 20
	// MaxDepth bounds how deeply a value nests.
	MaxDepth = 1000
	// maxDetail bounds the text of a fault.
	maxDetail = 1000
)

// Evaluator evaluates batches and keeps what it compiled. It is for one
// goroutine at a time.
type Evaluator struct {
	templates cache[*program]
	schemas   cache[*validator]
}

// New returns an evaluator with empty caches.
func New() *Evaluator { return &Evaluator{} }

// Eval evaluates a batch. A fault of the flow is in the result; an error is a
// batch that its sender put together wrongly, and quotes none of its values.
func (e *Evaluator) Eval(b Batch) (result Result, err error) {
	r := &run{e: e, batch: &b, decoded: map[string]any{}, steps: &counter{left: MaxSteps}, room: MaxOutput}
	r.result.Values = make(map[string]json.RawMessage, len(b.Evals))
	// A fault of a library costs the batch that provoked it, not the process (invariant 9).
	defer func() {
		if p := recover(); p != nil {
			r.fail(&Fault{Type: FaultRuntime, Detail: "the evaluation broke off"})
			result, err = r.result, nil
		}
	}()
	for i := range b.Evals {
		r.result.Failed = i
		fault, err := r.step(&b.Evals[i])
		if err != nil {
			return Result{}, err
		}
		if fault != nil {
			r.fail(fault)
			return r.result, nil
		}
		if r.result.Halted {
			return r.result, nil
		}
	}
	r.result.Failed = 0
	return r.result, nil
}

// run is one batch on its way.
type run struct {
	e       *Evaluator
	batch   *Batch
	result  Result
	decoded map[string]any
	steps   *counter
	room    int
	at      []byte // pointer of the expression at hand
}

func (r *run) fail(f *Fault) {
	if len(f.Detail) > maxDetail {
		f.Detail = strings.ToValidUTF8(f.Detail[:maxDetail], "")
	}
	r.result.Fault = f
}

func (r *run) step(ev *Eval) (*Fault, error) {
	on, err := r.value(ev.On)
	if err != nil {
		return nil, err
	}
	if len(ev.Template) == 0 {
		if v, computed := r.result.Values[ev.On]; computed {
			// What gojq computed may hold types that a schema does not know.
			if on, err = decode(v); err != nil {
				return nil, err
			}
		}
		if len(ev.Schema) > 0 {
			return r.validate(ev.Schema, on)
		}
		if ev.To == "" {
			return nil, errors.New("an evaluation has neither a template nor a schema nor a name")
		}
		r.decoded[ev.To] = on
		return nil, nil
	}
	v, fault, err := r.template(ev, on)
	if fault != nil || err != nil {
		return fault, err
	}
	if ev.To != "" {
		text, err := encode(nil, v, r.room, 0)
		if err != nil {
			return &Fault{Type: FaultRuntime, Detail: err.Error()}, nil //nolint:nilerr // It is the flow's fault.
		}
		r.room -= len(text)
		r.result.Values[ev.To] = text
		r.decoded[ev.To] = v
	}
	r.result.Halted = ev.Halt && (v == nil || v == false)
	return nil, nil
}

// value decodes a named value once.
func (r *run) value(name string) (any, error) {
	if name == "" {
		return nil, nil
	}
	if v, ok := r.decoded[name]; ok {
		return v, nil
	}
	text, ok := r.batch.Values[name]
	if !ok {
		return nil, fmt.Errorf("the batch has no value %q", name)
	}
	v, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("value %q is not JSON", name)
	}
	r.decoded[name] = v
	return v, nil
}

func (r *run) template(ev *Eval, on any) (any, *Fault, error) {
	names := make([]string, 0, len(ev.Vars)+1)
	for name := range ev.Vars {
		names = append(names, name)
	}
	slices.Sort(names)
	key := string(ev.Template) + "\x00" + strings.Join(names, "\x00")
	p, ok := r.e.templates.get(key)
	if !ok {
		var err error
		if p, err = compile(ev.Template, names); err != nil {
			return nil, nil, err
		}
		r.e.templates.put(key, p)
	}
	vars := make([]any, 1, len(names)+1)
	if r.batch.Now != 0 {
		vars[0] = r.batch.Now
	}
	for _, name := range names {
		v, err := r.value(ev.Vars[name])
		if err != nil {
			return nil, nil, err
		}
		vars = append(vars, v)
	}
	r.at = r.at[:0]
	v, fault := r.eval(p, on, vars)
	return v, fault, nil
}

// eval fills a compiled template. Constant parts are shared between batches:
// gojq never changes a value in place that it did not make itself.
func (r *run) eval(p *program, on any, vars []any) (any, *Fault) {
	switch {
	case p.fault != "":
		return nil, &Fault{Type: FaultExpression, Detail: p.fault, Pointer: string(r.at)}
	case p.code != nil:
		if v, ok := p.path.find(on, vars); ok {
			return v, nil
		}
		return r.expression(p.code, on, vars)
	case p.keys != nil:
		out := make(map[string]any, len(p.keys))
		for i, key := range p.keys {
			mark := len(r.at)
			r.at = appendToken(r.at, key)
			v, fault := r.eval(p.items[i], on, vars)
			if fault != nil {
				return nil, fault
			}
			r.at = r.at[:mark]
			out[key] = v
		}
		return out, nil
	case p.items != nil:
		out := make([]any, len(p.items))
		for i, item := range p.items {
			mark := len(r.at)
			r.at = appendToken(r.at, fmt.Sprint(i))
			v, fault := r.eval(item, on, vars)
			if fault != nil {
				return nil, fault
			}
			r.at = r.at[:mark]
			out[i] = v
		}
		return out, nil
	}
	return p.constant, nil
}

func (r *run) expression(code *gojq.Code, on any, vars []any) (any, *Fault) {
	v, ok := code.RunWithContext(r.steps, on, vars...).Next()
	if !ok {
		return nil, nil
	}
	err, failed := v.(error)
	if !failed {
		return v, nil
	}
	if errors.Is(err, errSteps) {
		return nil, &Fault{Type: FaultRuntime, Detail: fmt.Sprintf("more than %d steps", MaxSteps), Pointer: string(r.at)}
	}
	return nil, &Fault{Type: FaultExpression, Detail: err.Error(), Pointer: string(r.at)}
}

func decode(text json.RawMessage) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the value")
	}
	return v, nil
}

var pointerToken = strings.NewReplacer("~", "~0", "/", "~1")

func appendToken(at []byte, token string) []byte {
	return append(append(at, '/'), pointerToken.Replace(token)...)
}

var errSteps = errors.New("too many steps")

// counter is a context that ends after a number of steps: gojq asks Done once
// a step, so the limit is the same everywhere and always.
type counter struct {
	context.Context
	left int
	end  chan struct{}
}

// Done counts.
func (c *counter) Done() <-chan struct{} {
	c.left--
	if c.left > 0 {
		return nil
	}
	if c.end == nil {
		c.end = make(chan struct{})
		close(c.end)
	}
	return c.end
}

// Err says that the steps are used up.
func (c *counter) Err() error {
	if c.left > 0 {
		return nil
	}
	return errSteps
}
