package supervisor

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/testsuite"
	sdkworker "go.temporal.io/sdk/worker"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/workflows/platform"
)

// TestAFailedStepIsTold: the log says which step of whose making failed, and why;
// and nothing of those that did not.
func TestAFailedStepIsTold(t *testing.T) {
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestWorkflowEnvironment()
	var log bytes.Buffer
	env.SetWorkerOptions(sdkworker.Options{Interceptors: []interceptor.WorkerInterceptor{&telling{logger: slog.New(slog.NewTextHandler(&log, nil))}}})
	failures := 1
	for _, name := range []string{platform.ProvisionKeys, platform.ProvisionDatabases, platform.ProvisionNamespace, platform.ProvisionActivate} {
		env.RegisterActivityWithOptions(func(context.Context, string) error {
			if name == platform.ProvisionDatabases && failures > 0 {
				failures--
				return schema.Errorf(schema.CodeInvalid, "a file of the key store does not parse")
			}
			return nil
		}, activity.RegisterOptions{Name: name})
	}
	env.ExecuteWorkflow(platform.ProvisionWorkflow, "org_1")
	require.NoError(t, env.GetWorkflowError())
	require.Equal(t, 1, strings.Count(log.String(), "\n"), log.String())
	require.Contains(t, log.String(), "step="+platform.ProvisionDatabases)
	require.Contains(t, log.String(), "a file of the key store does not parse")
}
