package api

import (
	"sync"

	"github.com/tenonhq/tenon/schema"
)

// admission bounds what is being served at a time, before memory grows: bytes
// and requests of all, requests of each organization (invariant 9).
type admission struct {
	limits Limits

	mu       sync.Mutex
	bytes    int64
	requests int
	byOrg    map[string]int
}

func newAdmission(l Limits) *admission {
	return &admission{limits: l, byOrg: map[string]int{}}
}

// enter takes room for a request of an organization, or, with an empty org,
// for a request and its body in all. leave must be called once.
func (a *admission) enter(org string, bytes int64) (leave func(), err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if org != "" {
		if a.byOrg[org] >= a.limits.PerOrganization {
			return nil, schema.Errorf(schema.CodeRateLimited, "the organization has too many requests at once").
				Advise("Send fewer at a time; try again after Retry-After.")
		}
		a.byOrg[org]++
		return func() { a.leaveOrg(org) }, nil
	}
	if a.requests >= a.limits.InFlight || a.bytes+bytes > a.limits.InFlightBytes {
		return nil, schema.Errorf(schema.CodeUnavailable, "the server is busy").
			Advise("Try again after Retry-After.")
	}
	a.requests++
	a.bytes += bytes
	return func() { a.leave(bytes) }, nil
}

func (a *admission) leave(bytes int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests--
	a.bytes -= bytes
}

func (a *admission) leaveOrg(org string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byOrg[org]--; a.byOrg[org] <= 0 {
		delete(a.byOrg, org)
	}
}
