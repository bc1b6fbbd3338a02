package engine_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
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
	require.Equal(t, []string{"SignalWorkflowExecution " + own.org + " none true"}, shared.record.of(own.org))

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
	want := []string{"SignalWorkflowExecution " + other.org + " none false", "ListWorkflowExecutions " + other.org + "  false"}
	require.Eventually(t, func() bool { return len(shared.record.of(own.org)) == 4 }, 10*time.Second, 5*time.Millisecond)
	require.ElementsMatch(t, append(want, want...), shared.record.of(own.org))
	require.Empty(t, shared.record.of(other.org))
}

func TestLoginsAreRecorded(t *testing.T) {
	t.Parallel()
	own, second := newCell(t, shared), newCell(t, shared)
	require.Equal(t, http.StatusSeeOther, newBrowser(t).login(mint(t, shared.signer, token.RoleOperator, own.org, second.org)))
	for _, org := range []string{own.org, second.org} {
		require.Equal(t, []string{"Login " + org + "  true"}, shared.record.of(org))
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
