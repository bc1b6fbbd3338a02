package engine

import (
	"context"
	"strconv"
	"sync"
	"time"

	persistencespb "go.temporal.io/server/api/persistence/v1"
	"go.temporal.io/server/common/persistence"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/task"
	"github.com/tenonhq/tenon/schema/token"
)

// revocations are kept in the namespaces themselves, as a datum that a host
// sets with its system token: it is on disk with the namespace, no other role
// may write it, and it needs no link that the engine does not have already.
// They hold the moment that the change is written.
type revocations struct {
	token.Revocations
	mu     sync.Mutex
	loaded bool
}

// load reads what stands in the store, before anything is served.
func (r *revocations) load(namespaces persistence.MetadataManager) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.loaded {
		return nil
	}
	request := &persistence.ListNamespacesRequest{PageSize: 1000, IncludeDeleted: true}
	for {
		page, err := namespaces.ListNamespaces(context.Background(), request)
		if err != nil {
			return schema.Errorf(schema.CodeUnavailable, "the namespaces cannot be listed: %w", err)
		}
		for _, n := range page.Namespaces {
			r.note(n.Namespace.GetInfo())
		}
		if len(page.NextPageToken) == 0 {
			r.loaded = true
			return nil
		}
		request.NextPageToken = page.NextPageToken
	}
}

// note takes a namespace's revocation over.
func (r *revocations) note(n *persistencespb.NamespaceInfo) {
	if at := revokedAt(n); !at.IsZero() {
		r.Revoke(n.GetName(), at)
	}
}

// keep keeps an update from taking a revocation back: of several hosts one may
// be late with an earlier one.
func (r *revocations) keep(n *persistencespb.NamespaceInfo) {
	known := r.Since(n.GetName())
	if known.IsZero() || !revokedAt(n).Before(known) {
		return
	}
	if n.Data == nil {
		n.Data = make(map[string]string)
	}
	n.Data[task.TokensNotBefore] = strconv.FormatInt(known.Unix(), 10)
}

func revokedAt(n *persistencespb.NamespaceInfo) time.Time {
	seconds, err := strconv.ParseInt(n.GetData()[task.TokensNotBefore], 10, 64)
	if err != nil || seconds <= 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}

// current verifies tokens and refuses revoked ones, at each call: for the
// frontend, the web UI's login and its sessions alike.
type current struct {
	Verifier
	revocations *revocations
}

// Verify implements [Verifier].
func (c current) Verify(text string, now time.Time) (token.Claims, error) {
	claims, err := c.Verifier.Verify(text, now)
	if err != nil {
		return token.Claims{}, err
	}
	if c.revocations.Revoked(claims) {
		return token.Claims{}, schema.Errorf(schema.CodeUnauthenticated, "the token was revoked").
			Advise("Make a new one with: tenon operator-token")
	}
	return claims, nil
}
