package e2e

import (
	"log/slog"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
)

// operatorToken is what "tenon operator-token" prints.
func (p *platform) operatorToken(t *testing.T, organization string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), bin(t, "tenon"), "operator-token", "--data", p.data, "--organization", organization).Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}

// terminateAll terminates the organization's running workflows as an operator
// does with the engine's own tools.
func (p *platform) terminateAll(t *testing.T, organization string) {
	t.Helper()
	c, err := client.DialContext(t.Context(), client.Options{
		HostPort: p.engine, Namespace: organization, Credentials: client.NewAPIKeyStaticCredentials(p.operatorToken(t, organization)),
		ConnectionOptions: client.ConnectionOptions{TLSDisabled: true}, Logger: sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	require.NoError(t, err)
	defer c.Close()
	eventually(t, 20*time.Second, "the engine lists the workflow", func() bool {
		list, err := c.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{Query: "ExecutionStatus = 'Running'"})
		require.NoError(t, err)
		for _, w := range list.GetExecutions() {
			require.NoError(t, c.TerminateWorkflow(t.Context(), w.GetExecution().GetWorkflowId(), "", "a test"))
		}
		return len(list.GetExecutions()) > 0
	})
}
