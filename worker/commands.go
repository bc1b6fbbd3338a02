package worker

import (
	"context"
	"encoding/json"
	"errors"

	"go.temporal.io/api/serviceerror"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/crash"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/store"
)

// applyCommands applies what people asked for, in the order in which it was
// kept. A command that does not fit the run's state any more is recorded as
// such and passed over: the cursor moves with the transaction of each.
func (r *relay) applyCommands(ctx context.Context) error {
	cursor, err := r.cursor(ctx, store.CursorCommands)
	if err != nil {
		return err
	}
	commands, err := r.cell.Door().CommandsAfter(ctx, cursor, takeAtOnce)
	if err != nil {
		return err
	}
	for _, c := range commands {
		delete(r.cursors, store.CursorCommands) // It moves with the transaction of each.
		r.rest.worked()
		if err := r.apply(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// change is what a command does to its run.
type change struct {
	from    []string
	to      string
	effects []store.Effect
}

func (r *relay) apply(ctx context.Context, c store.Command) error {
	switch c.Kind {
	case config.CommandCredential:
		return r.told(ctx, c)
	case config.CommandAlert:
		return r.testAlert(ctx, c)
	}
	run, _, effects, err := r.cell.Work().LoadRun(ctx, c.Run)
	missing := schema.CodeOf(err) == schema.CodeNotFound
	if err != nil && !missing {
		return err
	}
	ch, fits := r.plan(ctx, c, effects)
	refused := missing || !fits
	done := store.AuditDraft{Actor: c.By, Action: "run." + c.Kind + ".applied", Target: c.Run, Namespace: c.Namespace}
	if !refused {
		err = r.cell.Work().ApplyCommand(ctx, c.Seq, c.Run, ch.from, ch.to, true, ch.effects, []store.AuditDraft{done})
		if schema.CodeOf(err) == schema.CodeConflict {
			refused = true
		} else if err != nil {
			return err
		}
	}
	if refused {
		done.Action = "run." + c.Kind + ".refused"
		return r.cell.Work().SkipCommand(ctx, c.Seq, []store.AuditDraft{done})
	}
	crash.At(crash.CommandApplied)
	r.executor.Forget(c.Run)
	if ch.to == store.RunPending {
		r.takeOver(ctx, []store.Run{run})
		return nil
	}
	if run.Straight {
		return nil // Its carrier may carry others: it stops at the fence.
	}
	if run.Carrier == "" {
		return nil
	}
	var ended *serviceerror.NotFound
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	if err := r.engine.CancelWorkflow(ctx, run.Carrier, ""); err != nil && !errors.As(err, &ended) {
		r.logger.WarnContext(ctx, "a canceled run's carrier could not be told; it stops at its next step", "run", run.ID, "error", err)
	}
	return nil
}

// plan says what a command does; fits is false when it cannot be done to these
// effects. A command that cannot be read is refused like any other that does not
// fit: it must not hold up those after it.
func (r *relay) plan(ctx context.Context, c store.Command, effects []store.Effect) (ch change, fits bool) {
	switch c.Kind {
	case config.CommandCancel:
		return change{from: append([]string{store.RunUncertain}, live...), to: store.RunCanceled}, true
	case config.CommandResolve:
		args, err := r.arguments(c)
		if err != nil {
			r.logger.ErrorContext(ctx, "a command could not be read and is refused", "command", c.ID, "run", c.Run, "error", err)
			return change{}, false
		}
		for _, ef := range effects {
			if ef.ID != args.Effect || ef.State != store.EffectUncertain || r.executor.Resolve(&ef, args.Outcome, args.Output) != nil {
				continue
			}
			return change{from: []string{store.RunUncertain}, to: store.RunPending, effects: []store.Effect{ef}}, true
		}
	}
	return change{}, false
}

func (r *relay) arguments(c store.Command) (config.Command, error) {
	var args config.Command
	plain, err := r.data.Open(place.Command(r.organization, c.ID), c.ArgsSealed)
	if err != nil {
		return args, err
	}
	if err := json.Unmarshal(plain, &args); err != nil {
		return args, schema.Errorf(schema.CodeInternal, "a stored command does not parse: %w", err)
	}
	return args, nil
}
