package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/crash"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/store"
)

// Commanded says that a command is on disk and will be carried out.
type Commanded struct {
	Command string `json:"command" doc:"Id of the command."`
	Run     string `json:"run,omitempty"`
}

type commandRun struct {
	RunPath
	Body struct {
		Reason string `json:"reason,omitempty" maxLength:"1000" doc:"Why; kept with the audit entry."`
	}
}

type resolveRun struct {
	RunPath
	Body struct {
		Effect  string          `json:"effect" maxLength:"64" doc:"Id of the uncertain effect."`
		Outcome string          `json:"outcome" enum:"done,failed,retry" doc:"done: it happened; failed: it did not, and shall not; retry: it did not, do it now."`
		Output  json.RawMessage `json:"output,omitempty" doc:"For done: what stands for the other system's answer."`
		Reason  string          `json:"reason,omitempty" maxLength:"1000"`
	}
}

func (s *Server) registerCommands() {
	tags := []string{"Runs"}
	write := access{scope: scopeNamespace, permission: RunsWrite}
	handle(s, huma.Operation{
		OperationID: "cancel-run", Method: http.MethodPost, Path: "/v1/runs/{run}/cancel", Tags: tags,
		Summary: "Cancel a run", DefaultStatus: http.StatusAccepted,
		Description: "A call that is under way is not torn off; what it did is recorded.",
	}, write, func(ctx context.Context, c *caller, in *commandRun) (*Output[Commanded], error) {
		return s.command(ctx, c, in.Run, config.CommandCancel, config.Command{Reason: in.Body.Reason},
			store.RunPending, store.RunRunning, store.RunWaiting, store.RunUncertain)
	})
	handle(s, huma.Operation{
		OperationID: "resolve-run", Method: http.MethodPost, Path: "/v1/runs/{run}/resolve", Tags: tags,
		Summary: "Decide an uncertain effect", DefaultStatus: http.StatusAccepted,
	}, write, s.resolve)
}

func (s *Server) resolve(ctx context.Context, c *caller, in *resolveRun) (*Output[Commanded], error) {
	run, err := c.cell.Work().GetRun(ctx, c.namespace.ID, in.Run)
	if err != nil {
		return nil, c.gone(ctx, in.Run, err)
	}
	if len(in.Body.Output) > 0 && in.Body.Outcome != config.OutcomeDone {
		return nil, schema.Errorf(schema.CodeInvalid, "output goes with the outcome done only").At("/output")
	}
	effects, err := c.cell.Work().ListEffects(ctx, run.ID)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(effects, func(e store.Effect) bool { return e.ID == in.Body.Effect })
	if i < 0 {
		return nil, unknown(schema.Errorf(schema.CodeInvalid, "the run has no such effect").At("/effect"))
	}
	if state := effects[i].State; state != store.EffectUncertain && state != store.EffectIntent {
		return nil, schema.Errorf(schema.CodeConflict, "the effect is not uncertain").At("/effect")
	}
	return s.command(ctx, c, run.ID, config.CommandResolve, config.Command{
		Effect: in.Body.Effect, Outcome: in.Body.Outcome, Output: in.Body.Output, Reason: in.Body.Reason,
	}, store.RunUncertain)
}

// command puts a command into the inbox; the cell checks again when it acts,
// since the run may move on in between.
func (s *Server) command(ctx context.Context, c *caller, id, kind string, args config.Command, from ...string) (*Output[Commanded], error) {
	run, err := c.cell.Work().GetRun(ctx, c.namespace.ID, id)
	if err != nil {
		return nil, c.gone(ctx, id, err)
	}
	if !slices.Contains(from, run.State) {
		return nil, schema.Errorf(schema.CodeConflict, "a run that is %s cannot be told to %s", run.State, kind)
	}
	row := store.Command{
		ID: schema.NewID(schema.PrefixCommand), Namespace: c.namespace.ID, Run: run.ID, Kind: kind, By: c.actor, CreatedAt: s.now(),
	}
	if row.ArgsSealed, err = c.cell.sealJSON(place.Command(c.org, row.ID), args); err != nil {
		return nil, err
	}
	draft, err := s.audit(c, "run."+kind, run.ID, map[string]any{
		"command": row.ID, "effect": args.Effect, "outcome": args.Outcome, "reason": args.Reason,
	})
	if err != nil {
		return nil, err
	}
	if _, err := c.cell.Door().AddCommand(ctx, row, draft); err != nil {
		return nil, err
	}
	crash.At(crash.CommandKept)
	if err := s.wake(ctx, c.cell); err != nil {
		return nil, err
	}
	return answer(Commanded{Command: row.ID, Run: run.ID}), nil
}
