package e2e

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	_ "modernc.org/sqlite"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/schema"
)

// auditVerify runs "tenon audit verify" and returns its status and what it said.
func (p *platform) auditVerify(t *testing.T, args ...string) (status int, said string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), bin(t, "tenon"), append([]string{"audit", "verify", "--data", p.data}, args...)...)
	cmd.Env = append(os.Environ(), p.env...)
	out, err := cmd.CombinedOutput()
	var ended *exec.ExitError
	if errors.As(err, &ended) {
		return ended.ExitCode(), string(out)
	}
	require.NoError(t, err, "%s", out)
	return 0, string(out)
}

// TestTheLogIsVerified runs a flow, steers it with the engine's own tools, and
// verifies the log as a customer does with an export and a public key, and as
// an operator does on the databases: as they are, and after somebody with the
// files has changed them.
func TestTheLogIsVerified(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.start(t)
	s := newShop(t, p, ledger.Keys, map[string]string{"later": billing(waiting(time.Minute))})
	// Refused alike, whether there is such an organization or not, and counted.
	other, otherKey := p.organization(t, "Other")
	operator := p.operator(t, s.org)
	for _, namespace := range []string{other, schema.NewID(schema.PrefixOrganization)} {
		_, err := operator.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{Namespace: namespace})
		denied := (*serviceerror.PermissionDenied)(nil)
		require.ErrorAs(t, err, &denied)
		require.EqualError(t, denied, "Request unauthorized.")
	}
	s.accepted(t, "later", "terminated")
	s.reach(t, 20*time.Second, "waiting", 1)
	p.terminateAll(t, s.org)

	// The operator's call is on the organization's record, with who made it.
	var log struct {
		Items []struct{ Actor, Action, Target, Chain string }
	}
	s.must(t, http.MethodGet, "/v1/audit?action=engine.TerminateWorkflowExecution", 200, nil, &log)
	require.NotEmpty(t, log.Items)
	require.True(t, strings.HasPrefix(log.Items[0].Actor, "operator:"), log.Items[0].Actor)
	require.True(t, strings.HasPrefix(log.Items[0].Target, "car_"), log.Items[0].Target)

	key := filepath.Join(t.TempDir(), "org.key")
	require.NoError(t, os.WriteFile(key, []byte(s.key), 0o600))
	status, said := p.auditVerify(t, "--api", "http://"+p.api, "--key-file", key)
	require.Zero(t, status, said)
	require.Contains(t, said, s.org)

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.api+"/v1/audit/export", nil)
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+s.key)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	var export bytes.Buffer
	_, err = export.ReadFrom(resp.Body)
	require.NoError(t, errors.Join(err, resp.Body.Close()))
	file := filepath.Join(t.TempDir(), "audit.ndjson")
	require.NoError(t, os.WriteFile(file, export.Bytes(), 0o600))
	public := filepath.Join(p.data, "keys", "checkpoint.pub")
	status, said = p.auditVerify(t, "--file", file, "--checkpoint-key", public)
	require.Zero(t, status, said)
	edited := bytes.Replace(export.Bytes(), []byte("engine.TerminateWorkflowExecution"), []byte("engine.DescribeWorkflowExecution!"), 1)
	require.NoError(t, os.WriteFile(file, edited, 0o600))
	status, said = p.auditVerify(t, "--file", file, "--checkpoint-key", public)
	require.Equal(t, 2, status, said)
	require.Contains(t, said, `chain "door" is broken at entry`)
	require.NoError(t, os.WriteFile(file, export.Bytes()[:export.Len()/2], 0o600))
	status, said = p.auditVerify(t, "--file", file, "--checkpoint-key", public)
	require.Equal(t, 1, status, said)

	// The last checkpoint is signed as the platform stops.
	p.stop(t)
	status, said = p.auditVerify(t, "--all", "--json")
	require.Zero(t, status, said)
	type report struct {
		Organization         string
		Checkpoints, Entries int64
	}
	reports := map[string]report{}
	for line := range strings.Lines(said) {
		var r report
		require.NoError(t, json.Unmarshal([]byte(line), &r), line)
		reports[r.Organization] = r
	}
	require.Positive(t, reports[""].Checkpoints)
	require.Positive(t, reports[s.org].Checkpoints)

	// What was refused stands in the operator's own organization's log, and in no
	// other. The API wrote it as it stopped.
	p.start(t)
	var counts struct {
		Items []struct {
			Actor, Target string
			Detail        struct{ Count int }
		}
	}
	s.must(t, http.MethodGet, "/v1/audit?action=engine.refuse", 200, nil, &counts)
	require.Len(t, counts.Items, 1)
	require.True(t, strings.HasPrefix(counts.Items[0].Actor, "operator:"), counts.Items[0].Actor)
	require.Equal(t, "ListWorkflowExecutions", counts.Items[0].Target)
	require.Equal(t, 2, counts.Items[0].Detail.Count)
	p.must(t, otherKey, "", http.MethodGet, "/v1/audit?action=engine.refuse", 200, nil, &counts)
	require.Empty(t, counts.Items)
	p.stop(t)

	db, err := sql.Open("sqlite", "file:"+filepath.Join(p.data, "cells", s.org, "door", "door.db"))
	require.NoError(t, err)
	for _, statement := range []string{"DROP TRIGGER audit_no_delete", "DELETE FROM audit WHERE seq > 3"} {
		_, err := db.ExecContext(t.Context(), statement)
		require.NoError(t, err, statement)
	}
	require.NoError(t, db.Close())
	status, said = p.auditVerify(t, "--organization", s.org)
	require.Equal(t, 2, status, said)
	require.Contains(t, said, `audit chain "door" is broken at entry 4: entries 4 to `)
	status, said = p.auditVerify(t, "--platform")
	require.Zero(t, status, said)
}
