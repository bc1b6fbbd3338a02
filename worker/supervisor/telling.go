package supervisor

import (
	"context"
	"errors"
	"log/slog"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
)

// telling logs each attempt of the platform's own steps that failed. The SDK tells
// of none: they are local activities, tried again in their workflow without end, and
// an operator would see an organization that is never made, and no reason.
type telling struct {
	interceptor.WorkerInterceptorBase
	logger *slog.Logger
}

// InterceptActivity implements [interceptor.WorkerInterceptor].
func (t *telling) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	return &tellingStep{ActivityInboundInterceptorBase: interceptor.ActivityInboundInterceptorBase{Next: next}, logger: t.logger}
}

type tellingStep struct {
	interceptor.ActivityInboundInterceptorBase
	logger *slog.Logger
}

// ExecuteActivity implements [interceptor.ActivityInboundInterceptor].
func (t *tellingStep) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	result, err := t.Next.ExecuteActivity(ctx, in)
	// One whose time is over failed, too; one that is canceled is given up with its host.
	if err != nil && !errors.Is(ctx.Err(), context.Canceled) {
		info := activity.GetInfo(ctx)
		t.logger.WarnContext(ctx, "a step failed",
			"step", info.ActivityType.Name, "workflow", info.WorkflowExecution.ID, "attempt", info.Attempt, "error", err)
	}
	return result, err
}
