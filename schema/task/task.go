// Package task holds the names and the request and response types that
// workflows and activities share. They carry references and decisions, never
// payloads: what a run computes stays in the cell's database, so that the
// engine's history is small and holds nothing personal.
//
// It imports nothing of ours.
package task

import "time"

// Names of the workflow, activities, queue and search attribute, as the engine knows them.
const (
	// Carrier is the workflow that carries one run or several.
	Carrier = "tenon.carrier"
	// Step is the activity that performs one phase of one task.
	Step = "tenon.step"
	// Stretches is the activity that performs the first stretch of each of several runs.
	Stretches = "tenon.stretches"
	// Finish is the activity that ends a run. It answers nothing but an error.
	Finish = "tenon.finish"
	// Recall is the activity that reads back what the journal holds of a run,
	// so that a carrier that takes a run over walks through the steps already
	// done without asking for each.
	Recall = "tenon.recall"
	// Queue is the task queue of a cell in its own namespace.
	Queue = "cell"
	// RunsAttribute is the KeywordList search attribute with the ids of the runs carried.
	RunsAttribute = "TenonRuns"
	// TokensNotBefore is the datum of an engine namespace that says since when,
	// in seconds since 1970, operators' tokens for it are good.
	TokensNotBefore = "tenon.tokens_not_before"
)

// Times that bound one another: a local activity must end well within the
// workflow task that carries it, so that a killed worker's runs resume in seconds.
const (
	WorkflowTaskTimeout = 3 * time.Second
	// LocalLimit bounds a local activity: half of the workflow task's timeout.
	LocalLimit = WorkflowTaskTimeout / 2
	// LocalPatience is how long a step waits inside a local activity for a
	// live call before it answers [StepResult.Slow].
	LocalPatience = time.Second
	// StretchesPatience is how long, in [Stretches], a run whose carrier has to go on
	// with it waits for the others to be answered.
	StretchesPatience = 20 * time.Millisecond
	// StepLimit bounds one attempt of a regular activity.
	StepLimit = 2 * time.Minute
	// HeartbeatEvery is how often a regular activity reports to the engine,
	// HeartbeatTimeout how long the engine waits for a report.
	HeartbeatEvery   = 2 * time.Second
	HeartbeatTimeout = 5 * time.Second
)

// InterpreterVersion is frozen into each carrier's input at its start. Version 2
// asks for tasks in a row at once, version 3 for those of all new runs together;
// carriers of the versions before go on without.
const InterpreterVersion = 3

// FinishKey is the key of a run's end, as the steps have theirs.
const FinishKey = ":finish"

// MaxFollowing bounds [StepRequest.Following].
const MaxFollowing = 16

// RecallPage bounds the results in one answer of [Recall]: some 200 KiB, well
// under the engine's limit of a payload.
const RecallPage = 1000

// CarrierInput starts a carrier.
type CarrierInput struct {
	Organization string   `json:"organization"`
	Carrier      string   `json:"carrier"`
	Interpreter  int      `json:"interpreter"`
	Runs         []RunRef `json:"runs"`
}

// RunRef pins one run to its flow version. Epoch is the run's ownership epoch:
// a carrier that no longer owns the run is fenced.
type RunRef struct {
	Run    string `json:"run"`
	Digest string `json:"digest"`
	Epoch  int64  `json:"epoch"`
	// Recall says that the run has been worked on before: its journal is read
	// back first. Whoever starts a carrier anew for open runs sets it.
	Recall bool `json:"recall,omitempty"`
}

// Owner says on whose behalf an activity acts.
type Owner struct {
	Carrier string `json:"carrier"`
	Run     string `json:"run"`
	Epoch   int64  `json:"epoch"`
	Digest  string `json:"digest"`
}

// Ref names a value of a run by the key of the step that produced it.
type Ref string

// RunInput is the reference of the run's raw input.
const RunInput Ref = ""

// NoContext is the reference of the empty context that a run starts with.
const NoContext Ref = ""

// Phase is what a step does of a task.
type Phase string

const (
	// PhaseWhole does a leaf task (set, call, switch, raise) from its "if" to its "export".
	PhaseWhole Phase = "whole"
	// PhaseEnter does "if" and "input" of a composite task or of the document
	// (pointer ""); for wait it also computes the duration, for "for" the collection.
	PhaseEnter Phase = "enter"
	// PhaseLeave does "output" and "export", given the raw output by Input.
	PhaseLeave Phase = "leave"
	// PhaseCatch decides whether a try's catch takes the error in Fault.
	PhaseCatch Phase = "catch"
	// PhaseItem binds one item of a "for" and evaluates "while".
	PhaseItem Phase = "item"
	// PhaseTimeout starts the clock of a task's timeout, of the document's
	// (pointer "") or, when Limit is set, of one attempt of a try. It records
	// the deadline and answers with Wait, the time left until then; when the
	// journal holds a step with the key Expiry, it answers with that one's Fault.
	PhaseTimeout Phase = "timeout"
	// PhaseExpire records that the deadline has passed: it answers with the
	// timeout Fault (status 408) whose object it makes.
	PhaseExpire Phase = "expire"
)

// StepRequest asks for one phase of one task. The same Key of the same run
// always yields the same answer: what was done once is taken from the journal.
type StepRequest struct {
	Owner Owner `json:"owner"`
	// Key is unique in the run: pointer, iterations, attempt and phase.
	Key string `json:"key"`
	// Effect is Key without attempt and phase: a retried task asks for the same effect.
	Effect  string `json:"effect,omitempty"`
	Pointer string `json:"pointer"`
	Phase   Phase  `json:"phase"`
	// Input is the raw input for whole, enter and timeout, the raw output for
	// leave, what "while" is evaluated on for item, what enters the try for catch.
	Input Ref `json:"input,omitempty"`
	// Collection is, for item, the key of the loop's enter step, which keeps
	// the collection.
	Collection Ref `json:"collection,omitempty"`
	Context    Ref `json:"context,omitempty"`
	// Entered is, for leave, item and catch, the transformed input that enter
	// produced ($input).
	Entered Ref `json:"entered,omitempty"`
	// Raw is, for leave, the raw input of the task ($task.input).
	Raw Ref `json:"raw,omitempty"`
	// Vars are the variables in scope besides the standard ones: name to
	// reference (an item of "for", the error of "catch").
	Vars map[string]Ref `json:"vars,omitempty"`
	// Index is the iteration for item, the attempt so far for catch (from 0).
	Index int `json:"index,omitempty"`
	// Fault is the error to judge, for catch.
	Fault *Fault `json:"fault,omitempty"`
	// Started is when the first attempt began, for catch.
	Started time.Time `json:"started,omitzero"`
	// Expiry is, for timeout, the key of the expire step that belongs to it.
	Expiry string `json:"expiry,omitempty"`
	// Limit is, for timeout, the bound of one attempt of a try
	// (retry.limit.attempt.duration); zero stands for the task's own timeout.
	Limit time.Duration `json:"limit,omitempty"`
	// Following are, for whole, the tasks that come next when each proceeds, at
	// most [MaxFollowing]: each takes the output and the context of the one before.
	// As many of them as there is time for are performed and answered with this one.
	Following []Following `json:"following,omitempty"`
	// Finishes says that the run ends with the last of them, or with this step
	// when there are none: it may be finished with the same answer.
	Finishes bool `json:"finishes,omitempty"`
}

// Following is a leaf task that comes next in the list of the one before, with
// the same variables in scope.
type Following struct {
	Key     string `json:"key"`
	Effect  string `json:"effect,omitempty"`
	Pointer string `json:"pointer"`
}

// Next is the request for the i-th of the following tasks, with those after it, once
// the one before it has come to r.
func (q StepRequest) Next(i int, r StepResult) StepRequest {
	f := q.Following[i]
	return StepRequest{
		Owner: q.Owner, Key: f.Key, Effect: f.Effect, Pointer: f.Pointer, Phase: PhaseWhole,
		Input: r.Output, Context: r.Context, Vars: q.Vars, Following: q.Following[i+1:],
	}
}

// StepResult is the decision that a step came to.
type StepResult struct {
	// Skipped: "if" was false; Output is then the unchanged input.
	Skipped bool `json:"skipped,omitempty"`
	// Output is the transformed output for whole and leave, the transformed
	// input for enter, the item for item, the error for catch.
	Output Ref `json:"output,omitempty"`
	// Context is the context after the step: the one given, or a new one.
	Context Ref `json:"context,omitempty"`
	// Branch is the "then" of the case that a switch chose; empty for continue.
	Branch string `json:"branch,omitempty"`
	// Wait is how long to wait from now: for enter of a wait, for catch with
	// Retry, for timeout. The journal keeps the instant, so that the same
	// question asked later is answered with what is left, or with zero. With Slow,
	// it is how long to wait before the step is asked for again.
	Wait time.Duration `json:"wait,omitempty"`
	// Count is the size of a for's collection, for enter.
	Count int `json:"count,omitempty"`
	// At is the reference of the index variable, for item.
	At Ref `json:"at,omitempty"`
	// Stop: "while" was false, for item.
	Stop bool `json:"stop,omitempty"`
	// Caught: the catch takes the error. Retry: the try runs again after Wait.
	Caught bool `json:"caught,omitempty"`
	Retry  bool `json:"retry,omitempty"`
	// Fault: the step failed with an error of the specification.
	Fault *Fault `json:"fault,omitempty"`
	// Slow: the call is still live, or waits for its turn; ask again with the
	// regular activity.
	Slow bool `json:"slow,omitempty"`
	// Stopped: this carrier no longer works on the run (fenced, canceled, or
	// parked as uncertain); it ends the run's coroutine and records nothing.
	Stopped bool `json:"stopped,omitempty"`
	// Following are the answers of those of the request's following tasks that
	// were performed, in their order; only the last may be a fault or Stopped.
	Following []StepResult `json:"following,omitempty"`
	// Finished: the run has ended, too.
	Finished bool `json:"finished,omitempty"`
}

// Proceeds tells whether the task after this one may be performed.
func (r StepResult) Proceeds() bool { return !r.Stopped && !r.Slow && r.Fault == nil }

// Over tells whether the run needs its carrier no more.
func (r StepResult) Over() bool { return r.Finished || r.Stopped }

// StretchesRequest asks for the first stretches of new runs, each as if it were
// asked for by itself.
type StretchesRequest struct {
	Steps []StepRequest `json:"steps"`
}

// StretchesResult holds the answers in the order of the requests. One that is nil was
// not there yet, or could not be had: its carrier asks for it by itself.
type StretchesResult struct {
	Answers []*StepResult `json:"answers"`
}

// Fault is an error of the specification, without its text: the whole object
// is the value at Ref. Only a fault that the interpreter itself raises (and
// that no try can catch) has no Ref: its object is made of the fields here.
type Fault struct {
	// Type is the canonical URI of the error's type.
	Type   string `json:"type"`
	Status int    `json:"status"`
	// Instance is the JSON Pointer of the task that raised it.
	Instance string `json:"instance,omitempty"`
	Ref      Ref    `json:"ref,omitempty"`
	// Detail is one of the interpreter's own constant texts, when Ref is empty.
	Detail string `json:"detail,omitempty"`
}

// FinishRequest ends a run: with Output, or with Fault.
type FinishRequest struct {
	Owner Owner  `json:"owner"`
	Key   string `json:"key"`
	// Output is the last task's output; the document's "output" is applied to it.
	Output  Ref    `json:"output,omitempty"`
	Context Ref    `json:"context,omitempty"`
	Input   Ref    `json:"input,omitempty"`
	Fault   *Fault `json:"fault,omitempty"`
}

// RecallRequest asks for one page of what the journal holds of a run.
type RecallRequest struct {
	Owner Owner `json:"owner"`
	// After is empty for the first page, then the Next of the page before.
	After string `json:"after,omitempty"`
}

// RecallResult is one page, of at most [RecallPage] steps: each with the answer
// that its request would get now.
type RecallResult struct {
	Steps []Recalled `json:"steps,omitempty"`
	// Next is empty on the last page.
	Next string `json:"next,omitempty"`
	// Stopped: as in [StepResult].
	Stopped bool `json:"stopped,omitempty"`
}

// Recalled is one journalled step.
type Recalled struct {
	Key    string     `json:"key"`
	Result StepResult `json:"result"`
}
