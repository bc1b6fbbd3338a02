package e2e

import (
	"log/slog"
	"os"
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
	cmd := exec.CommandContext(t.Context(), bin(t, "tenon"), "operator-token", "--data", p.data, "--organization", organization)
	cmd.Env = append(os.Environ(), p.env...)
	out, err := cmd.Output()
	require.NoError(t, err)
	p.recorded(t, p.administrator(t), "/v1/platform/audit", organization, "operator_token.issue")
	return strings.TrimSpace(string(out))
}

// operator is the engine as an operator of the organization sees it.
func (p *platform) operator(t *testing.T, organization string) client.Client {
	t.Helper()
	c, err := client.DialContext(t.Context(), client.Options{
		HostPort: p.engine, Namespace: organization, Credentials: client.NewAPIKeyStaticCredentials(p.operatorToken(t, organization)),
		ConnectionOptions: client.ConnectionOptions{TLSDisabled: true}, Logger: sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// told waits until the engine lists the carrier of each of the shop's runs as completed: a
// run may have ended before the engine is told of it.
func (s *shop) told(t *testing.T) {
	t.Helper()
	c := s.p.operator(t, s.org)
	for _, run := range s.runs(t) {
		eventually(t, 20*time.Second, "the engine lists the run's carrier", func() bool {
			list, err := c.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{
				Query: "TenonRuns = '" + run.ID + "' AND ExecutionStatus = 'Completed'",
			})
			return err == nil && len(list.GetExecutions()) == 1
		})
	}
}

// carriers counts the organization's workflows, running or not.
func (p *platform) carriers(t *testing.T, organization string) int {
	t.Helper()
	count, err := p.operator(t, organization).CountWorkflow(t.Context(), &workflowservice.CountWorkflowExecutionsRequest{})
	require.NoError(t, err)
	return int(count.GetCount())
}

// terminateAll terminates the organization's running workflows as an operator
// does with the engine's own tools.
func (p *platform) terminateAll(t *testing.T, organization string) {
	t.Helper()
	c := p.operator(t, organization)
	eventually(t, 20*time.Second, "the engine lists the workflow", func() bool {
		list, err := c.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{Query: "ExecutionStatus = 'Running'"})
		require.NoError(t, err)
		for _, w := range list.GetExecutions() {
			require.NoError(t, c.TerminateWorkflow(t.Context(), w.GetExecution().GetWorkflowId(), "", "a test"))
		}
		return len(list.GetExecutions()) > 0
	})
}
