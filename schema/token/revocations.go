package token

import (
	"slices"
	"sync"
	"time"
)

// IssuedBy tells whether the token was made at that time or before, to the
// second that tokens know: of the second itself nobody can say which came
// first, so all of it counts.
func (c Claims) IssuedBy(at time.Time) bool { return c.Issued.Unix() <= at.Unix() }

// Revocations are the namespaces whose operators' tokens were revoked, and
// when. The zero value has none; it is safe for concurrent use.
//
// Tokens of cells and hosts are not among them: they live for minutes in the
// memory of the processes that would have to be told.
type Revocations struct {
	mu     sync.RWMutex
	before map[string]time.Time
}

// Revoke ends every operator's token that was made for the namespace by then.
// A later revocation stands against an earlier one, whichever is told first.
func (r *Revocations) Revoke(namespace string, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.before == nil {
		r.before = make(map[string]time.Time)
	}
	if at.After(r.before[namespace]) {
		r.before[namespace] = at
	}
}

// Since is when the namespace's tokens were last revoked; zero for never.
func (r *Revocations) Since(namespace string) time.Time {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.before[namespace]
}

// Revoked tells whether the token is an operator's and was revoked: for one of
// its namespaces is for all.
func (r *Revocations) Revoked(c Claims) bool {
	if c.Role != RoleOperator {
		return false
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.ContainsFunc(c.Namespaces, func(namespace string) bool {
		at, ok := r.before[namespace]
		return ok && c.IssuedBy(at)
	})
}
