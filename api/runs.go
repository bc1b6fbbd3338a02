package api

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/task"
)

// Run is one execution of a flow.
type Run struct {
	ID        string     `json:"id"`
	Event     string     `json:"event"`
	Flow      string     `json:"flow"`
	Version   int        `json:"version"`
	State     string     `json:"state" enum:"pending,running,waiting,completed,failed,canceled,uncertain"`
	ErrorType string     `json:"error_type,omitempty"`
	CreatedAt time.Time  `json:"created_at"`
	StartedAt *time.Time `json:"started_at,omitempty"`
	EndedAt   *time.Time `json:"ended_at,omitempty"`
	DueAt     *time.Time `json:"due_at,omitempty" doc:"When a run that waits goes on by itself."`
}

// RunDetail is a run with all that happened in it.
type RunDetail struct {
	Run
	Output  json.RawMessage `json:"output,omitempty"`
	Error   json.RawMessage `json:"error,omitempty" doc:"Error object of the specification."`
	Steps   []Step          `json:"steps" nullable:"false"`
	Effects []Effect        `json:"effects" nullable:"false"`
	Engine  string          `json:"engine,omitempty" doc:"Address of the run in the engine's web interface."`
}

// Step is one entry of a run's journal.
type Step struct {
	Key       string          `json:"key"`
	Name      string          `json:"name,omitempty" doc:"Name of the task."`
	Pointer   string          `json:"pointer" doc:"JSON Pointer of the task in the document."`
	Kind      string          `json:"kind"`
	Phase     string          `json:"phase"`
	State     string          `json:"state" enum:"done,skipped,failed"`
	StartedAt time.Time       `json:"started_at"`
	EndedAt   time.Time       `json:"ended_at"`
	Output    json.RawMessage `json:"output,omitempty" doc:"What the step produced."`
	Error     json.RawMessage `json:"error,omitempty"`
}

// Effect is one call that changes another system.
type Effect struct {
	ID             string          `json:"id"`
	Step           string          `json:"step"`
	Connection     string          `json:"connection,omitempty"`
	Action         string          `json:"action"`
	IdempotencyKey string          `json:"idempotency_key,omitempty" doc:"What the other system was sent, to look it up there."`
	State          string          `json:"state" enum:"intent,done,failed,uncertain,resolved"`
	Attempts       int             `json:"attempts"`
	Outcome        json.RawMessage `json:"outcome,omitempty"`
	Policy         string          `json:"policy,omitempty" doc:"The connection's policy, when it had a part in the outcome: nobody found out whether the effect happened."`
	CreatedAt      time.Time       `json:"created_at"`
	UpdatedAt      time.Time       `json:"updated_at"`
}

func showRun(r store.Run) Run {
	return Run{
		ID: r.ID, Event: r.Event, Flow: r.Flow, Version: r.FlowVersion, State: r.State, ErrorType: r.ErrorType,
		CreatedAt: r.CreatedAt, StartedAt: r.StartedAt, EndedAt: r.EndedAt, DueAt: r.DueAt,
	}
}

type listRuns struct {
	Paging
	Flow  string `query:"flow" maxLength:"256" doc:"Id or name of a flow."`
	State string `query:"state" enum:"pending,running,waiting,completed,failed,canceled,uncertain"`
}

// RunPath names a run. Exported: the framework fills in no unexported
// embedded parameters.
type RunPath struct {
	Run string `path:"run" maxLength:"64"`
}

func (s *Server) registerRuns() {
	tags := []string{"Runs"}
	read := access{scope: scopeNamespace, permission: RunsRead}
	handle(s, huma.Operation{
		OperationID: "list-runs", Method: http.MethodGet, Path: "/v1/runs", Tags: tags, Summary: "List runs, newest first",
	}, read, func(ctx context.Context, c *caller, in *listRuns) (*Output[List[Run]], error) {
		filter := store.RunFilter{Namespace: c.namespace.ID, State: in.State, Page: in.store()}
		if in.Flow != "" {
			flow, err := c.cell.Door().GetFlow(ctx, c.namespace.ID, in.Flow)
			if err != nil {
				return nil, err
			}
			filter.Flow = flow.ID
		}
		rows, err := c.cell.Work().ListRuns(ctx, filter)
		if err != nil {
			return nil, err
		}
		return answer(listed(rows, in.Limit, showRun, func(r store.Run) string { return r.ID })), nil
	})
	handle(s, huma.Operation{
		OperationID: "get-run", Method: http.MethodGet, Path: "/v1/runs/{run}", Tags: tags, Summary: "Show a run with its steps and effects",
	}, read, s.getRun)
}

func (s *Server) getRun(ctx context.Context, c *caller, in *RunPath) (*Output[RunDetail], error) {
	row, err := c.cell.Work().GetRun(ctx, c.namespace.ID, in.Run)
	if err != nil {
		return nil, c.gone(ctx, in.Run, err)
	}
	shown := RunDetail{Run: showRun(row), Steps: []Step{}, Effects: []Effect{}, Engine: s.engineLink(c.org, row.ID)}
	// Steps before effects: what a step names is there when the step is.
	steps, err := c.cell.Work().ListSteps(ctx, row.ID)
	if err != nil {
		return nil, err
	}
	effects, err := c.cell.Work().ListEffects(ctx, row.ID)
	if err != nil {
		return nil, err
	}
	for _, effect := range effects {
		one, err := c.showEffect(effect)
		if err != nil {
			return nil, err
		}
		shown.Effects = append(shown.Effects, one)
	}
	names, values := c.names(ctx, row), map[task.Ref]json.RawMessage{}
	ledger := make(map[string]json.RawMessage, len(shown.Effects))
	for _, e := range shown.Effects {
		ledger[e.Step] = e.Outcome
	}
	for _, step := range steps {
		record, err := c.record(step, ledger)
		if err != nil {
			return nil, c.removed(ctx, row, err)
		}
		maps.Copy(values, record.Values)
		shown.Steps = append(shown.Steps, showStep(step, record, names))
	}
	if len(row.ResultSealed) > 0 {
		var result config.Result
		if err := c.cell.openJSON(place.Run(c.org, row.ID), row.ResultSealed, &result); err != nil {
			return nil, err
		}
		shown.Output, shown.Error = result.Output, result.Error
		if result.From != "" {
			var there bool
			if shown.Output, there = values[task.Ref(result.From)]; !there {
				err := schema.Errorf(schema.CodeInternal, "the output of run %s names a value that is not in the journal", row.ID)
				return nil, c.removed(ctx, row, err)
			}
		}
	}
	return answer(shown), nil
}

// engineLink finds the workflow that carries the run by its search attribute.
func (s *Server) engineLink(org, run string) string {
	if s.config.EngineUI == "" {
		return ""
	}
	link, err := url.JoinPath(s.config.EngineUI, "namespaces", org, "workflows")
	if err != nil {
		return ""
	}
	return link + "?" + url.Values{"query": {task.RunsAttribute + "='" + run + "'"}}.Encode()
}

// names gives the tasks of the run's document their names, by pointer. It is
// for show: without the document the steps have none.
func (c *caller) names(ctx context.Context, run store.Run) map[string]string {
	version, err := c.cell.Door().GetFlowVersion(ctx, run.Flow, run.FlowVersion)
	if err != nil {
		return nil
	}
	plain, err := c.cell.keys.Open(place.Flow(c.org, run.Flow, run.FlowVersion), version.DocumentSealed)
	if err != nil {
		return nil
	}
	document, err := flow.Parse(plain)
	if err != nil {
		return nil
	}
	names := map[string]string{}
	walk(document.Do, func(t *flow.Task) bool {
		names[t.Pointer] = t.Name
		return true
	})
	return names
}

// removed explains that a part of a run is missing: the run is being removed, its
// event being gone first, or err stands.
func (c *caller) removed(ctx context.Context, run store.Run, err error) error {
	if _, missing := c.cell.Door().GetEvent(ctx, run.Namespace, run.Event); schema.CodeOf(missing) == schema.CodeNotFound {
		return c.gone(ctx, run.ID, missing)
	}
	return err
}

// record opens a step's record; ledger has the outcomes of its run's effects, by key.
func (c *caller) record(row store.Step, ledger map[string]json.RawMessage) (record task.Record, err error) {
	if err := c.cell.openJSON(place.Step(c.org, row.Run, row.Key), row.RecordSealed, &record); err != nil {
		return record, err
	}
	return record, record.Fill(func(key string) (json.RawMessage, error) {
		kept, ok := ledger[key]
		if !ok {
			return nil, schema.Errorf(schema.CodeInternal, "a step of run %s names an effect that is not in the ledger", row.Run)
		}
		var outcome struct{ Output json.RawMessage }
		err := json.Unmarshal(kept, &outcome)
		return outcome.Output, err
	})
}

func showStep(row store.Step, record task.Record, names map[string]string) Step {
	shown := Step{
		Key: row.Key, Name: names[row.Pointer], Pointer: row.Pointer, Kind: row.Kind, Phase: row.Phase, State: row.State,
		StartedAt: row.StartedAt, EndedAt: row.EndedAt,
	}
	// A value that an earlier step produced is shown there.
	shown.Output = record.Values[record.Result.Output]
	if fault := record.Result.Fault; fault != nil {
		shown.Error = record.Values[fault.Ref]
	}
	return shown
}

func (c *caller) showEffect(row store.Effect) (Effect, error) {
	shown := Effect{
		ID: row.ID, Step: row.Key, Connection: row.Connection, Action: row.Action, IdempotencyKey: row.Sent(c.org),
		State: row.State, Attempts: row.Attempts, CreatedAt: row.CreatedAt, UpdatedAt: row.UpdatedAt,
	}
	if len(row.OutcomeSealed) == 0 {
		return shown, nil
	}
	if err := c.cell.openJSON(place.Effect(c.org, row.ID), row.OutcomeSealed, &shown.Outcome); err != nil {
		return Effect{}, err
	}
	var by struct{ Policy string }
	err := json.Unmarshal(shown.Outcome, &by)
	shown.Policy = by.Policy
	return shown, err
}
