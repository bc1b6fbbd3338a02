package activities

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/store"
)

// Ready tells whether a carrier can work on the run: its document and its event
// can be read. Workflow code cannot end a run for want of its document, so who
// starts a carrier asks first.
func (e *Executor) Ready(ctx context.Context, run store.Run) error {
	if _, err := e.plan(run.Digest); err != nil {
		return err
	}
	event, err := e.cfg.Cell.Door().GetEvent(ctx, run.Namespace, run.Event)
	if err != nil {
		return err
	}
	_, err = e.input(event)
	return err
}

// Refuse ends a run that no carrier can work on. A run that another owns by
// now, or that has ended, is left as it is.
func (e *Executor) Refuse(ctx context.Context, run store.Run, cause error) error {
	p := problem{
		Type: flow.TypeConfiguration, Status: flow.ErrorStatus(flow.TypeConfiguration),
		Title: "The run could not be started", Detail: "what is stored of its flow version or its event cannot be read",
	}
	var known *schema.Error
	if errors.As(cause, &known) {
		p.Detail = known.Message
	}
	object, err := json.Marshal(p)
	if err != nil {
		return schema.Errorf(schema.CodeInternal, "a run's error does not encode: %w", err)
	}
	plain, err := json.Marshal(config.Result{Error: object})
	if err != nil {
		return schema.Errorf(schema.CodeInternal, "a run's result does not encode: %w", err)
	}
	alerts, err := e.failed(ctx, run)
	if err != nil {
		return err
	}
	err = e.cfg.Cell.Work().Commit(ctx, store.RunCommit{
		Alerts: alerts,
		Run:    run.ID, Carrier: run.Carrier, Epoch: run.Epoch,
		End: &store.RunEnd{
			State: store.RunFailed, ErrorType: p.Type, At: e.now(),
			ResultSealed: e.seal(place.Run(e.cfg.Organization, run.ID), plain),
		},
		Audit: []store.AuditDraft{{Actor: run.ID, Action: "run." + store.RunFailed, Target: run.ID, Namespace: run.Namespace}},
	})
	if err != nil && schema.CodeOf(err) != schema.CodeFenced {
		return err
	}
	if len(alerts) > 0 {
		e.cfg.Alerted()
	}
	e.cfg.Logger.WarnContext(ctx, "a run could not be started and has failed", "run", run.ID, "error", cause)
	e.Forget(run.ID)
	return nil
}
