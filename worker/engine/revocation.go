package engine

import (
	"strconv"
	"time"

	persistencespb "go.temporal.io/server/api/persistence/v1"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/task"
	"github.com/tenonhq/tenon/schema/token"
)

// revocations are kept in the namespaces themselves, as a datum that a host
// sets with its system token: it is on disk with the namespace, no other role
// may write it, and it needs no link that the engine does not have already.
// They hold the moment that the change is written.
type revocations struct{ token.Revocations }

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
