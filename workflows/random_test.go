package workflows

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"reflect"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/task"
)

// awkward names try to look like other parts of a key.
var awkward = []string{"a", "b", "a/b", "~1", "#2", "[0]", "a#2", "a~1", ":enter", "x:enter", "catch", "do", "0", "é"}

// generator makes documents of every kind of task, nested and with jumps, that
// no parser would let through and some that it would.
type generator struct {
	*rand.Rand
	timeouts bool
}

func (g *generator) template() *flow.Template {
	return &flow.Template{JSON: json.RawMessage(`"${ $` + g.variable() + ` }"`)}
}

func (g *generator) variable() string { return []string{"item", "index", "x", "error"}[g.IntN(4)] }

func (g *generator) maybe(percent int) bool { return g.IntN(100) < percent }

func (g *generator) document() *flow.Document {
	d := &flow.Document{Digest: "random", Do: g.list("/do", 3)}
	if g.maybe(30) {
		d.Input = &flow.Input{From: g.template()}
	}
	if g.timeouts && g.maybe(20) {
		d.Timeout = g.template()
	}
	return d
}

func (g *generator) list(pointer string, depth int) []flow.Task {
	tasks := make([]flow.Task, g.IntN(4)+1)
	for i := range tasks {
		name := awkward[g.IntN(len(awkward))]
		tasks[i] = g.task(flow.Pointer(pointer, fmt.Sprint(i), name), name, depth)
	}
	for i := range tasks {
		if g.maybe(25) {
			tasks[i].Then = g.directive(tasks)
		}
		for j := range tasks[i].Switch {
			tasks[i].Switch[j].Then = g.directive(tasks)
		}
	}
	return tasks
}

func (g *generator) directive(tasks []flow.Task) string {
	switch g.IntN(8) {
	case 0:
		return flow.ThenExit
	case 1:
		return flow.ThenEnd
	case 2:
		return flow.ThenContinue
	case 3:
		return awkward[g.IntN(len(awkward))]
	}
	return tasks[g.IntN(len(tasks))].Name
}

func (g *generator) task(pointer, name string, depth int) flow.Task {
	t := flow.Task{Name: name, Pointer: pointer}
	if g.maybe(20) {
		t.If = g.template()
	}
	if g.maybe(20) {
		t.Input = &flow.Input{From: g.template()}
	}
	if g.maybe(20) {
		t.Output = &flow.Output{As: g.template()}
	}
	if g.maybe(20) {
		t.Export = &flow.Export{As: g.template()}
	}
	if g.timeouts && g.maybe(15) {
		t.Timeout = g.template()
	}
	kinds := 5
	if depth > 0 {
		kinds = 9
	}
	switch g.IntN(kinds) {
	case 0:
		t.Kind, t.Set = flow.KindSet, g.template()
	case 1:
		t.Kind, t.Call = flow.KindCall, &flow.Call{With: *g.template()}
	case 2:
		t.Kind, t.Raise = flow.KindRaise, g.template()
	case 3:
		t.Kind, t.Wait = flow.KindWait, g.template()
	case 4:
		t.Kind, t.Switch = flow.KindSwitch, make([]flow.Case, g.IntN(3)+1)
	case 5, 6:
		t.Kind, t.Do = flow.KindDo, g.list(pointer+"/do", depth-1)
	case 7:
		t.Kind = flow.KindFor
		t.For = &flow.For{Each: "item", At: "index", In: *g.template(), Do: g.list(pointer+"/do", depth-1)}
		if g.maybe(30) {
			t.For.While = g.template()
		}
	case 8:
		t.Kind = flow.KindTry
		t.Try = &flow.Try{Do: g.list(pointer+"/try", depth-1), Catch: g.catch(pointer, depth)}
	}
	return t
}

func (g *generator) catch(pointer string, depth int) *flow.Catch {
	c := &flow.Catch{As: "error"}
	switch g.IntN(3) {
	case 0:
		c.With = &flow.Template{JSON: json.RawMessage(fmt.Sprintf(`{"status":%d}`, 400+g.IntN(2))), Literal: true}
	case 1:
		c.With = &flow.Template{JSON: json.RawMessage(`{"title":"x"}`), Literal: true}
	}
	if g.maybe(30) {
		c.When = g.template()
	}
	if g.maybe(40) {
		c.Retry = &flow.Retry{Delay: time.Second, Attempts: 2}
		if g.timeouts && g.maybe(40) {
			c.Retry.AttemptDuration = time.Minute
		}
	}
	if g.maybe(60) {
		c.Do = g.list(pointer+"/catch/do", depth-1)
	}
	return c
}

// chaos answers steps at random, but always the same to the same key. It fails,
// is slow and stops now and then, and keeps account of what is asked.
type chaos struct {
	seed uint64
	doc  *flow.Document

	mu       sync.Mutex
	requests map[string]task.StepRequest
	answered map[string]task.StepResult
	order    []string
	// first is what was asked before all else.
	first    *task.StepRequest
	known    map[string]bool // what the journal held from the start
	finished []task.FinishRequest
	stopped  bool
	wrong    []string
}

func newChaos(seed uint64, doc *flow.Document) *chaos {
	return &chaos{
		seed: seed, doc: doc, known: map[string]bool{},
		requests: map[string]task.StepRequest{}, answered: map[string]task.StepResult{},
	}
}

func (c *chaos) dice(key string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key))
	return rand.New(rand.NewPCG(c.seed, h.Sum64()))
}

// Step is the activity; only the regular one is always healthy. The local one
// performs some of the following tasks as well.
func (c *chaos) Step(ctx context.Context, req task.StepRequest) (task.StepResult, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.first == nil {
		c.first = &req
	}
	local := activity.GetInfo(ctx).IsLocalActivity
	res, err := c.one(req, local)
	if err != nil || !local {
		return res, err
	}
	last, dice := res, c.dice(req.Key+" and more")
	for i := range req.Following {
		if !last.Proceeds() || dice.IntN(4) == 0 {
			return res, nil
		}
		if last, err = c.one(req.Next(i, last), true); err != nil || last.Slow {
			return res, nil //nolint:nilerr // It is asked for again by itself.
		}
		res.Following = append(res.Following, last)
	}
	if req.Finishes && last.Proceeds() && dice.IntN(4) > 0 {
		res.Finished = true
		c.finished = append(c.finished, task.FinishRequest{Owner: req.Owner, Key: task.FinishKey, Output: last.Output, Context: last.Context})
	}
	return res, nil
}

func (c *chaos) one(req task.StepRequest, local bool) (task.StepResult, error) {
	req.Following, req.Finishes = nil, false
	if before, ok := c.requests[req.Key]; ok {
		req.Started, before.Started = time.Time{}, time.Time{}
		if !reflect.DeepEqual(before, req) {
			c.wrong = append(c.wrong, fmt.Sprintf("two requests with the key %q: %+v, %+v", req.Key, before, req))
		}
	}
	if _, twice := c.answered[req.Key]; twice || c.known[req.Key] {
		c.wrong = append(c.wrong, fmt.Sprintf("asked again: %q", req.Key))
	}
	c.requests[req.Key] = req
	dice := c.dice(req.Key)
	if trouble := dice.IntN(100); local && trouble < 4 {
		return task.StepResult{Slow: true}, nil
	} else if local && trouble < 8 {
		return task.StepResult{}, errors.New("the database is away")
	}
	res := c.answer(req, dice)
	c.answered[req.Key] = res
	c.order = append(c.order, req.Key)
	return res, nil
}

func (c *chaos) answer(req task.StepRequest, dice *rand.Rand) task.StepResult {
	if dice.IntN(1000) == 0 {
		c.stopped = true
		return task.StepResult{Stopped: true}
	}
	fault := &task.Fault{
		Type: flow.TypeExpression, Status: 400 + dice.IntN(2),
		Instance: req.Pointer, Ref: task.Ref(req.Key + "^"),
	}
	t := lookup(c.doc.Do, req.Pointer)
	if req.Phase == task.PhaseExpire || dice.IntN(100) < 5 || t != nil && t.Kind == flow.KindRaise && req.Phase == task.PhaseWhole {
		return task.StepResult{Fault: fault, Context: req.Context}
	}
	res := task.StepResult{Output: task.Ref(req.Key), Context: req.Context}
	switch req.Phase {
	case task.PhaseEnter, task.PhaseWhole, task.PhaseLeave:
		c.decide(&res, req, t, dice)
	case task.PhaseTimeout:
		res.Wait = time.Duration(dice.IntN(7200)) * time.Second
	case task.PhaseCatch:
		res.Caught = dice.IntN(2) == 0
		res.Retry = res.Caught && t.Try.Catch.Retry != nil && req.Index < 3
		res.Wait = time.Minute
	case task.PhaseItem:
		res.At, res.Stop = task.Ref(req.Key+"#"), dice.IntN(10) == 0
	case task.PhaseExpire:
	}
	return res
}

func (c *chaos) decide(res *task.StepResult, req task.StepRequest, t *flow.Task, dice *rand.Rand) {
	if t == nil {
		return
	}
	if req.Phase != task.PhaseLeave && t.If != nil && dice.IntN(3) == 0 {
		*res = task.StepResult{Skipped: true, Output: req.Input, Context: req.Context}
		return
	}
	if t.Kind == flow.KindSwitch && dice.IntN(4) > 0 {
		res.Branch = t.Switch[dice.IntN(len(t.Switch))].Then
	}
	if t.Export != nil && req.Phase != task.PhaseEnter {
		res.Context = task.Ref(req.Key + "$")
	}
	if req.Phase == task.PhaseEnter {
		res.Wait = time.Duration(dice.IntN(3600)) * time.Second
		res.Count = dice.IntN(4)
	}
}

// Recall gives what is known, with waits that are over.
func (c *chaos) Recall(_ context.Context, req task.RecallRequest) (task.RecallResult, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var page task.RecallResult
	for _, key := range c.order {
		if c.known[key] {
			res := c.answered[key]
			if res.Wait > 0 && c.requests[key].Phase != task.PhaseTimeout {
				res.Wait = 0
			}
			page.Steps = append(page.Steps, task.Recalled{Key: key, Result: res})
		}
	}
	return page, nil
}

// Finish is the activity.
func (c *chaos) Finish(_ context.Context, req task.FinishRequest) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finished = append(c.finished, req)
	return nil
}
