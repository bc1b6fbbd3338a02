package workflows

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/itchyny/gojq"

	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/task"
)

// reference performs steps in memory, as plainly as the specification says it.
// It stands in for the activities so that the interpreter's behaviour can be
// tested on real documents; it journals, so that runs can be taken over.
type reference struct {
	mu    sync.Mutex
	lib   library
	input map[string]any
	// call performs a call task, given its evaluated arguments.
	call func(t *flow.Task, with any) (any, error)

	values  map[string]map[task.Ref]any
	journal map[string]map[string]journalled
	ended   map[string]conclusion
	// ran lists the tasks begun, and asked every step performed, in order.
	ran   map[string][]string
	asked []task.StepRequest
	calls map[string]int
	clock func() time.Time
	// together says how many following tasks are performed with one, at each;
	// nil for all of them.
	together func() int
}

type journalled struct {
	request task.StepRequest
	result  task.StepResult
	until   time.Time
}

type conclusion struct {
	output any
	fault  map[string]any
}

// library is a fixed set of documents by digest.
type library map[string]*flow.Document

func (l library) Document(digest string) (*flow.Document, error) {
	if d, ok := l[digest]; ok {
		return d, nil
	}
	return nil, errors.New("no such document")
}

// problem is an error of the specification on its way to a step's answer.
type problem struct {
	kind, detail string
	status       int
}

func (p *problem) Error() string { return p.kind + ": " + p.detail }

func newReference(lib library) *reference {
	return &reference{
		lib: lib, input: map[string]any{}, values: map[string]map[task.Ref]any{},
		journal: map[string]map[string]journalled{}, ended: map[string]conclusion{},
		ran: map[string][]string{}, calls: map[string]int{},
	}
}

// Step answers from the journal, or performs the step and journals it, and with
// it as many of the following ones as together allows.
func (x *reference) Step(_ context.Context, req task.StepRequest) (task.StepResult, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	res, err := x.one(req)
	if err != nil || !res.Proceeds() {
		return res, err
	}
	last := res
	for i := range req.Following {
		if x.together != nil && i >= x.together() {
			return res, nil
		}
		if last, err = x.one(req.Next(i, last)); err != nil {
			return res, nil //nolint:nilerr // It is asked for again by itself.
		}
		res.Following = append(res.Following, last)
		if !last.Proceeds() {
			return res, nil
		}
	}
	if req.Finishes && (x.together == nil || x.together() > 0) {
		res.Finished = true
		err = x.finish(task.FinishRequest{Owner: req.Owner, Output: last.Output, Context: last.Context})
	}
	return res, err
}

func (x *reference) one(req task.StepRequest) (task.StepResult, error) {
	run := req.Owner.Run
	if x.journal[run] == nil {
		x.journal[run] = map[string]journalled{}
		x.values[run] = map[task.Ref]any{}
	}
	if j, ok := x.journal[run][req.Key]; ok {
		return j.at(x.clock()), nil
	}
	x.asked = append(x.asked, req)
	res, err := x.perform(req)
	var p *problem
	if errors.As(err, &p) {
		res, err = x.fail(req, p), nil
	}
	if err != nil {
		return res, err
	}
	x.journal[run][req.Key] = journalled{request: req, result: res, until: x.clock().Add(res.Wait)}
	return res, nil
}

func (j journalled) at(now time.Time) task.StepResult {
	res := j.result
	if res.Wait > 0 {
		res.Wait = max(0, j.until.Sub(now))
	}
	return res
}

// Recall answers the whole journal of a run in pages of two.
func (x *reference) Recall(_ context.Context, req task.RecallRequest) (task.RecallResult, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	var page task.RecallResult
	for _, key := range slices.Sorted(maps.Keys(x.journal[req.Owner.Run])) {
		if key <= req.After {
			continue
		}
		if len(page.Steps) == 2 {
			page.Next = page.Steps[1].Key
			break
		}
		page.Steps = append(page.Steps, task.Recalled{Key: key, Result: x.journal[req.Owner.Run][key].at(x.clock())})
	}
	return page, nil
}

// Finish keeps how the run ended.
func (x *reference) Finish(_ context.Context, req task.FinishRequest) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.finish(req)
}

func (x *reference) finish(req task.FinishRequest) error {
	run := req.Owner.Run
	if _, twice := x.ended[run]; twice {
		return fmt.Errorf("run %s ended twice", run)
	}
	if f := req.Fault; f != nil {
		object, ok := x.values[run][f.Ref].(map[string]any)
		if !ok {
			object = map[string]any{"type": f.Type, "status": f.Status, "instance": f.Instance, "detail": f.Detail}
		}
		x.ended[run] = conclusion{fault: object}
		return nil
	}
	output := x.value(run, req.Output)
	if d := x.lib[req.Owner.Digest]; d.Output != nil && d.Output.As != nil {
		var err error
		if output, err = evaluate(d.Output.As, output, map[string]any{"context": x.value(run, req.Context)}); err != nil {
			return err
		}
	}
	x.ended[run] = conclusion{output: output}
	return nil
}

func (x *reference) value(run string, ref task.Ref) any {
	if ref == "" {
		return x.input[run]
	}
	v, ok := x.values[run][ref]
	if !ok {
		panic(fmt.Sprintf("a step refers to %q, which no step produced", ref))
	}
	return v
}

func (x *reference) put(run string, ref task.Ref, v any) task.Ref {
	x.values[run][ref] = v
	return ref
}

func (x *reference) fail(req task.StepRequest, p *problem) task.StepResult {
	typ := flow.ErrorType(p.kind)
	if p.status == 0 {
		p.status = flow.ErrorStatus(typ)
	}
	object := map[string]any{
		"type": typ, "status": p.status, "instance": req.Pointer, "title": p.detail,
	}
	ref := x.put(req.Owner.Run, task.Ref(req.Key+"^"), object)
	return task.StepResult{Context: req.Context, Fault: &task.Fault{
		Type: typ, Status: p.status, Instance: req.Pointer, Ref: ref,
	}}
}

// evaluate computes a template on dot.
func evaluate(t *flow.Template, dot any, vars map[string]any) (any, error) {
	var v any
	if err := json.Unmarshal(t.JSON, &v); err != nil {
		return nil, &problem{kind: "expression", detail: err.Error()}
	}
	names := slices.Sorted(maps.Keys(vars))
	args := make([]any, len(names))
	for i, n := range names {
		args[i] = vars[n]
		names[i] = "$" + n
	}
	return expand(v, dot, names, args)
}

func expand(v, dot any, names []string, args []any) (any, error) {
	switch v := v.(type) {
	case string:
		body, ok := strings.CutPrefix(strings.TrimSpace(v), "${")
		if !ok {
			return v, nil
		}
		query, err := gojq.Parse(strings.TrimSuffix(body, "}"))
		if err != nil {
			return nil, &problem{kind: "expression", detail: err.Error()}
		}
		code, err := gojq.Compile(query, gojq.WithVariables(names))
		if err != nil {
			return nil, &problem{kind: "expression", detail: err.Error()}
		}
		out, ok := code.Run(dot, args...).Next()
		if !ok {
			return nil, nil
		}
		if err, failed := out.(error); failed {
			return nil, &problem{kind: "expression", detail: err.Error()}
		}
		return out, nil
	case []any:
		for i := range v {
			var err error
			if v[i], err = expand(v[i], dot, names, args); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for k := range v {
			var err error
			if v[k], err = expand(v[k], dot, names, args); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

// lookup finds the task that a pointer names.
func lookup(tasks []flow.Task, pointer string) *flow.Task {
	for i := range tasks {
		t := &tasks[i]
		if t.Pointer == pointer {
			return t
		}
		if !strings.HasPrefix(pointer, t.Pointer+"/") {
			continue
		}
		inner := [][]flow.Task{t.Do}
		if t.Try != nil {
			inner = append(inner, t.Try.Do, t.Try.Catch.Do)
		}
		if t.For != nil {
			inner = append(inner, t.For.Do)
		}
		for _, list := range inner {
			if found := lookup(list, pointer); found != nil {
				return found
			}
		}
	}
	return nil
}

// number reads a count from an evaluated value.
func number(v any) int {
	n, _ := strconv.Atoi(fmt.Sprint(v))
	return n
}
