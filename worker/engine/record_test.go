package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/errordetails/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/token"
	"github.com/tenonhq/tenon/worker/engine"
)

func named(calls []call, name string) call {
	for _, c := range calls {
		if c.name == name {
			return c
		}
	}
	panic(name)
}

// Invariant 8: what an operator changes is on the record before it is allowed,
// what is only read is not, and without a record nothing is changed.
func TestOperatorsActsAreRecorded(t *testing.T) {
	t.Parallel()
	own := newCell(t, shared)
	conn := raw(t, shared.engine.Frontend())
	operator := mint(t, shared.signer, token.RoleOperator, own.org)
	ask := func(bearer string, c call) error { return c.do(bearing(t.Context(), bearer), conn, own.org) }
	signal := named(works(), "SignalWorkflowExecution")

	require.NoError(t, ask(operator, named(reads(), "ListWorkflowExecutions")))
	require.Empty(t, shared.record.of(own.org))
	require.Equal(t, codes.NotFound, status.Code(ask(operator, signal)), "there is no such workflow: the call was let in")
	require.Equal(t, []string{"SignalWorkflowExecution " + own.org + " none"}, shared.record.of(own.org))

	// The cell's own calls are its work, and stand in its own log.
	require.Equal(t, codes.NotFound, status.Code(ask(mint(t, shared.signer, token.RoleCell, own.org), signal)))
	require.Len(t, shared.record.of(own.org), 1)

	lost := newCell(t, shared)
	shared.record.lose(lost.org)
	err := signal.do(bearing(t.Context(), mint(t, shared.signer, token.RoleOperator, lost.org)), conn, lost.org)
	require.Equal(t, codes.PermissionDenied, status.Code(err))
	require.Len(t, status.Convert(err).Details(), 1)
	why, ok := status.Convert(err).Details()[0].(*errordetails.PermissionDeniedFailure)
	require.True(t, ok)
	require.Contains(t, why.GetReason(), "could not be put on the record")
	require.Equal(t, http.StatusServiceUnavailable, newBrowser(t).login(mint(t, shared.signer, token.RoleOperator, lost.org)))
	require.Empty(t, shared.record.of(lost.org))
}

// What is refused to a caller who is known is counted on that caller's record,
// not on that of whoever was named.
func TestRefusedCallsAreCounted(t *testing.T) {
	t.Parallel()
	own, other := newCell(t, shared), newCell(t, shared)
	conn := raw(t, shared.engine.Frontend())
	for _, role := range []token.Role{token.RoleCell, token.RoleOperator} {
		bearer := mint(t, shared.signer, role, own.org)
		require.Equal(t, codes.PermissionDenied, status.Code(named(works(), "SignalWorkflowExecution").do(bearing(t.Context(), bearer), conn, other.org)))
		require.Equal(t, codes.PermissionDenied, status.Code(named(reads(), "ListWorkflowExecutions").do(bearing(t.Context(), bearer), conn, other.org)))
	}
	shared.record.awaits(t, own.org, map[string]int64{"SignalWorkflowExecution": 2, "ListWorkflowExecutions": 2})
	require.Empty(t, shared.record.of(own.org))
	require.Empty(t, shared.record.refused(other.org))
}

// What an operator asks for in their own namespace and is not there may be in
// another's: it is counted. A cell asks for what has ended, and is not.
func TestWhatIsNotThereIsCounted(t *testing.T) {
	t.Parallel()
	worked, steered := newCell(t, shared), newCell(t, shared)
	conn := raw(t, shared.engine.Frontend())
	cell, operator := mint(t, shared.signer, token.RoleCell, worked.org), mint(t, shared.signer, token.RoleOperator, steered.org)
	want := map[string]int64{}
	for range 2 {
		for _, c := range []call{named(works(), "SignalWorkflowExecution"), named(reads(), "DescribeWorkflowExecution"), named(reads(), "GetWorkflowExecutionHistory")} {
			require.Equal(t, codes.NotFound, status.Code(c.do(bearing(t.Context(), cell), conn, worked.org)), c.name)
			require.Equal(t, codes.NotFound, status.Code(c.do(bearing(t.Context(), operator), conn, steered.org)), c.name)
			want[c.name]++
		}
		// The second report comes when the first is done with, the cell's share included.
		shared.record.awaits(t, steered.org, want)
	}
	require.Empty(t, shared.record.refused(worked.org))
}

// withRecord is an engine of the test's own, which tells the record in the end
// what it did not before.
func withRecord(t *testing.T, log *slog.Logger) (b bench, stop func()) {
	t.Helper()
	b = shared
	b.record = &acts{}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var err error
	b.engine, err = engine.Start(ctx, engine.Config{Recorder: b.record, Directory: t.TempDir(), Verifier: b.signer.Verifier(), Logger: log})
	require.NoError(t, err)
	stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
		defer cancel()
		require.NoError(t, b.engine.Stop(ctx))
	})
	t.Cleanup(stop)
	return b, stop
}

// flood makes refused calls, many at a time, as who bears the tokens.
func flood(t *testing.T, b bench, bearers []string) {
	t.Helper()
	conn := raw(t, b.engine.Frontend())
	theirs := schema.NewID(schema.PrefixOrganization)
	list := named(reads(), "ListWorkflowExecutions")
	var all sync.WaitGroup
	const hands = 32
	for hand := range hands {
		all.Go(func() {
			for i := hand; i < len(bearers); i += hands {
				assert.Equal(t, codes.PermissionDenied, status.Code(list.do(bearing(t.Context(), bearers[i]), conn, theirs)))
			}
		})
	}
	all.Wait()
}

// None of a flood is left out: not while the record is not to be had, and not
// as the engine stops.
func TestNoRefusedCallIsLost(t *testing.T) {
	t.Parallel()
	b, stop := withRecord(t, quiet())
	org := schema.NewID(schema.PrefixOrganization)
	bearers := slices.Repeat([]string{mint(t, b.signer, token.RoleOperator, org), mint(t, b.signer, token.RoleCell, org)}, 100)
	b.record.lose(org)
	flood(t, b, bearers)
	require.Eventually(t, func() bool { return b.record.failures() > 0 }, 10*time.Second, 5*time.Millisecond)
	require.Empty(t, b.record.refused(org))
	b.record.find(org)
	b.record.awaits(t, org, map[string]int64{"ListWorkflowExecutions": 200})
	flood(t, b, bearers)
	stop()
	require.Equal(t, map[string]int64{"ListWorkflowExecutions": 400}, b.record.refused(org))
}

// What cannot be put on the record is bounded, and in the log with its count.
func TestRefusedCallsAreBounded(t *testing.T) {
	t.Parallel()
	var said bytes.Buffer
	b, stop := withRecord(t, slog.New(slog.NewJSONHandler(&said, &slog.HandlerOptions{Level: slog.LevelError})))
	org := schema.NewID(schema.PrefixOrganization)
	const kinds, told = 4200, 4096
	var bearers []string
	for i := range kinds {
		bearer, err := b.signer.Mint(token.Claims{Subject: fmt.Sprint("operator", i), Role: token.RoleOperator, Namespaces: []string{org}, Expires: time.Now().Add(time.Hour)})
		require.NoError(t, err)
		bearers = append(bearers, bearer)
	}
	b.record.lose(org)
	flood(t, b, bearers)
	stop()
	subjects, counted := map[string]bool{}, int64(0)
	for line := range bytes.Lines(said.Bytes()) {
		var entry struct {
			Msg, Organization, Subject, Method string
			Count                              int64
		}
		require.NoError(t, json.Unmarshal(line, &entry))
		if !strings.Contains(entry.Msg, "counted here only") {
			continue
		}
		counted += entry.Count
		if entry.Subject != "" {
			require.Equal(t, org, entry.Organization)
			require.Equal(t, "ListWorkflowExecutions", entry.Method)
			subjects[entry.Subject] = true
		}
	}
	require.EqualValues(t, kinds, counted)
	require.LessOrEqual(t, len(subjects), told)
	require.Greater(t, len(subjects), told/2)
}

func TestLoginsAreRecorded(t *testing.T) {
	t.Parallel()
	own, second := newCell(t, shared), newCell(t, shared)
	require.Equal(t, http.StatusSeeOther, newBrowser(t).login(mint(t, shared.signer, token.RoleOperator, own.org, second.org)))
	for _, org := range []string{own.org, second.org} {
		require.Equal(t, []string{"Login " + org + " "}, shared.record.of(org))
	}
}

// The API is asked with the caller's own token, and only its one answer counts.
func TestRemoteRecord(t *testing.T) {
	var got *http.Request
	var body map[string]any
	answer := http.StatusNoContent
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		text, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		assert.NoError(t, json.Unmarshal(text, &body))
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(answer)
	}))
	defer api.Close()
	r, err := engine.NewRemoteRecord(api.URL+"/v1/engine/acts", nil)
	require.NoError(t, err)
	act := engine.Act{
		Token: schema.NewSecret([]byte("the token")), Organization: "org_1", Method: "TerminateWorkflowExecution", Namespace: "org_1",
		Workflow: strings.Repeat("ä", 200), Allowed: true,
	}
	require.NoError(t, r.Record(t.Context(), act))
	assert.Equal(t, "/v1/engine/acts", got.URL.Path)
	assert.Equal(t, "Bearer the token", got.Header.Get("Authorization"))
	assert.Equal(t, "org_1", got.Header.Get("X-Namespace"))
	assert.Equal(t, map[string]any{
		"method": "TerminateWorkflowExecution", "namespace": "org_1", "workflow": strings.Repeat("ä", 127), "run": "", "allowed": true,
	}, body)
	require.NoError(t, r.Record(t.Context(), engine.Act{Organization: "org_1", Method: "ListWorkflowExecutions", Count: 7}))
	assert.Equal(t, map[string]any{
		"method": "ListWorkflowExecutions", "namespace": "", "workflow": "", "run": "", "allowed": false, "count": 7.0,
	}, body)
	for _, status := range []int{http.StatusOK, http.StatusFound, http.StatusTemporaryRedirect, http.StatusForbidden, http.StatusInternalServerError} {
		answer = status
		err := r.Record(t.Context(), act)
		require.Equal(t, schema.CodeUnavailable, schema.CodeOf(err), "%d", status)
		require.NotContains(t, err.Error(), "the token")
	}
	api.Close()
	require.Equal(t, schema.CodeUnavailable, schema.CodeOf(r.Record(t.Context(), act)))
	for _, address := range []string{"http://192.0.2.1/v1/engine/acts", "ftp://127.0.0.1", "https://u:p@localhost", "", "/v1"} {
		_, err := engine.NewRemoteRecord(address, nil)
		require.Error(t, err, address)
	}
}
