package engine_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/tenonhq/tenon/activities/platform"
	"github.com/tenonhq/tenon/schema/token"
	"github.com/tenonhq/tenon/worker/engine"
)

// listed is what the frontend says to a list of the namespace's workflows.
func listed(t *testing.T, frontend, bearer, namespace string) codes.Code {
	t.Helper()
	_, err := workflowservice.NewWorkflowServiceClient(raw(t, frontend)).ListWorkflowExecutions(bearing(t.Context(), bearer),
		&workflowservice.ListWorkflowExecutionsRequest{Namespace: namespace})
	return status.Code(err)
}

// Once a host has told of it, an operator's older tokens open nothing: not the
// frontend, not the UI, whose sessions end. Everybody else's go on, and so do
// the cell's own.
func TestRevokedTokens(t *testing.T) {
	t.Parallel()
	own, other := newCell(t, shared), newCell(t, shared)
	frontend := shared.engine.Frontend()
	revoked, both := mint(t, shared.signer, token.RoleOperator, own.org), mint(t, shared.signer, token.RoleOperator, other.org, own.org)
	theirs, worker := mint(t, shared.signer, token.RoleOperator, other.org), mint(t, shared.signer, token.RoleCell, own.org)
	b := newBrowser(t)
	require.Equal(t, http.StatusSeeOther, b.login(revoked))
	answer, _, _ := b.do(http.MethodGet, "/api/v1/settings", nil, nil)
	require.Equal(t, http.StatusOK, answer)

	at := time.Now()
	require.NoError(t, platform.RevokeTokens(t.Context(), system(t, shared), own.org, at))
	require.Equal(t, codes.PermissionDenied, listed(t, frontend, revoked, own.org))
	require.Equal(t, codes.PermissionDenied, listed(t, frontend, both, own.org))
	require.Equal(t, codes.PermissionDenied, listed(t, frontend, both, other.org), "revoked for one is revoked")
	require.Equal(t, codes.OK, listed(t, frontend, theirs, other.org))
	require.Equal(t, codes.OK, listed(t, frontend, worker, own.org))
	answer, _, _ = b.do(http.MethodGet, "/api/v1/settings", nil, nil)
	require.Equal(t, http.StatusUnauthorized, answer, "the session ended")
	require.Equal(t, http.StatusUnauthorized, b.login(revoked))

	// A host that is late with an earlier revocation takes nothing back.
	require.NoError(t, platform.RevokeTokens(t.Context(), system(t, shared), own.org, at.Add(-time.Hour)))
	require.Equal(t, codes.PermissionDenied, listed(t, frontend, revoked, own.org))

	require.Eventually(t, func() bool {
		return listed(t, frontend, mint(t, shared.signer, token.RoleOperator, own.org), own.org) == codes.OK
	}, 5*time.Second, 100*time.Millisecond, "a token of a later second is good")
	require.NoError(t, platform.RevokeTokens(t.Context(), system(t, shared), "org_none", at), "what is not there has nothing to refuse")
}

// The engine remembers across a restart, from before it serves.
func TestRevocationsOutliveTheEngine(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	start := func() bench {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		running, err := engine.Start(ctx, engine.Config{Directory: directory, Verifier: shared.signer.Verifier(), Logger: quiet()})
		require.NoError(t, err)
		return bench{engine: running, signer: shared.signer, codec: shared.codec}
	}
	first := start()
	own := newCell(t, first)
	bearer := mint(t, first.signer, token.RoleOperator, own.org)
	require.Equal(t, codes.OK, listed(t, first.engine.Frontend(), bearer, own.org))
	at := time.Now()
	require.NoError(t, platform.RevokeTokens(t.Context(), system(t, first), own.org, at))
	require.NoError(t, platform.RevokeTokens(t.Context(), system(t, first), own.org, at.Add(-time.Hour)))
	require.NoError(t, first.engine.Stop(t.Context()))

	second := start()
	defer func() { _ = second.engine.Stop(context.WithoutCancel(t.Context())) }()
	require.Equal(t, codes.PermissionDenied, listed(t, second.engine.Frontend(), bearer, own.org))
}
