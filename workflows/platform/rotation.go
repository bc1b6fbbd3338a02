package platform

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

const (
	// Rotate replaces one kind of key of a cell.
	Rotate = "tenon.rotate"
	// RotateStep does what the rotation's row says is next, if it can be done
	// yet. It is idempotent, and tells the state that the rotation is in.
	RotateStep = "tenon.rotate.step"
)

const (
	// rotationPause is how long a step that cannot be done yet is left; it grows
	// to rotationRest.
	rotationPause = time.Second
	rotationRest  = time.Minute
	// rotationSteps bounds the history of one execution: a rotation waits for as
	// long as the engine keeps histories that need the former key.
	rotationSteps = 200
)

// RotateWorkflow takes a rotation, by its id, from step to step. All that it must
// not forget stands in the rotation's row and in the key store: it can be killed
// anywhere, and begun again.
func RotateWorkflow(ctx workflow.Context, rotation string) error {
	ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: time.Minute,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval: 200 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: time.Minute,
		},
	})
	pause, before := rotationPause, ""
	for range rotationSteps {
		var state string
		if err := workflow.ExecuteLocalActivity(ctx, RotateStep, rotation).Get(ctx, &state); err != nil {
			return err
		}
		if state == RotationDone {
			return nil
		}
		if state != before {
			pause, before = rotationPause, state
		}
		if err := workflow.Sleep(ctx, pause); err != nil {
			return err
		}
		pause = min(pause*3/2, rotationRest)
	}
	return workflow.NewContinueAsNewError(ctx, Rotate, rotation)
}

// RotationDone is what RotateStep tells in the end. Before, it tells the state
// that the rotation is in.
const RotationDone = "done"
