package api

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/store"
)

// Actions of what was refused.
const (
	actionRefusedEvent = "event.refuse"
	actionRefusedCall  = "access.refuse"
	actionRefusedLogin = "login.refuse"
	actionRefusedAct   = "engine.refuse"
	// actorUnknown is who did not prove who it is.
	actorUnknown = "unknown"
)

// maxRefusals bounds the kinds of refusal that are told apart at one time.
// Beyond it they are counted together, by organization no more.
const maxRefusals = 4096

// refusal is a kind of refused request: requests of one kind are counted, and
// stand in the audit log as one entry for each interval, so that a flood cannot
// fill it. Nothing in it is of the sender's choice, unless the sender is known.
type refusal struct {
	organization, actor, action, target, namespace string
}

// tally is how often, and when first and last.
type tally struct {
	Count int64     `json:"count"`
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
}

// refusals counts what was refused, in memory: a refused request writes nothing
// (invariant 5) and is answered no later for being counted.
type refusals struct {
	mu     sync.Mutex
	counts map[refusal]*tally
}

func newRefusals() *refusals { return &refusals{counts: map[refusal]*tally{}} }

func (r *refusals) count(of refusal, at time.Time) {
	r.add(of, tally{Count: 1, First: at, Last: at})
}

// add counts several at once: what the engine counted, or what could not be
// written and is written later.
func (r *refusals) add(of refusal, t tally) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.counts[of]
	if known == nil && len(r.counts) >= maxRefusals {
		of = refusal{actor: actorUnknown, action: of.action}
		known = r.counts[of]
	}
	if known == nil {
		r.counts[of] = &t
		return
	}
	known.Count += t.Count
	if t.First.Before(known.First) {
		known.First = t.First
	}
	if t.Last.After(known.Last) {
		known.Last = t.Last
	}
}

// take returns what was counted, and begins anew.
func (r *refusals) take() map[refusal]*tally {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.counts
	if len(taken) > 0 {
		r.counts = map[refusal]*tally{}
	}
	return taken
}

// errUnknown marks a request whose body names what is not there for its caller:
// it may be there for somebody else, and is answered and recorded alike.
var errUnknown = errors.New("not there for the caller")

// unknown marks the error of such a request.
func unknown(e *schema.Error) error {
	e.Err = errUnknown
	return e
}

// refused counts a request of a known caller that was refused.
func (s *Server) refused(c *caller, operation string, err error) {
	code := schema.CodeOf(err)
	if code == schema.CodeForbidden || code == schema.CodeNotFound || errors.Is(err, errUnknown) {
		s.refusals.count(refusal{organization: c.org, actor: c.actor, action: actionRefusedCall, target: operation, namespace: c.sees()}, s.now())
	}
}

// sees is the namespace that the caller's acts are shown in.
func (c *caller) sees() string {
	if c.namespace.ID != "" {
		return c.namespace.ID
	}
	return c.bound
}

// recordRefusals writes the counts to the log once in an interval, and at the
// end what is left.
func (s *Server) recordRefusals() {
	every := time.NewTicker(s.config.Limits.Refusals)
	defer every.Stop()
	for {
		select {
		case <-every.C:
			s.writeRefusals(s.ctx)
		case <-s.ctx.Done():
			s.writeRefusals(context.WithoutCancel(s.ctx))
			return
		}
	}
}

// refusalsPatience bounds the writing of one interval's counts.
const refusalsPatience = 10 * time.Second

func (s *Server) writeRefusals(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, refusalsPatience)
	defer cancel()
	for of, t := range s.refusals.take() {
		if err := s.writeRefusal(ctx, of, t); err != nil {
			s.refusals.add(of, *t)
			s.log.WarnContext(ctx, "refused requests could not be put on the record and are tried again", "organization", of.organization, "count", t.Count, "error", err)
		}
	}
}

// writeRefusal writes to the organization's own log. One whose cell cannot be
// used now has its entry in the control chain, as has nobody's.
func (s *Server) writeRefusal(ctx context.Context, of refusal, t *tally) error {
	draft := store.AuditDraft{Actor: of.actor, Action: of.action, Target: of.target, Namespace: of.namespace, Organization: of.organization}
	if of.organization != "" {
		opened, release, err := s.cells.acquire(ctx, of.organization)
		switch schema.CodeOf(err) {
		case "":
			defer release()
			if draft.DetailSealed, err = opened.sealJSON(place.Audit(of.organization, store.ChainDoor), t); err != nil {
				return err
			}
			return opened.Door().AppendAudit(ctx, draft)
		case schema.CodeForbidden, schema.CodeNotFound:
		default:
			return err
		}
	}
	var err error
	if draft.DetailSealed, err = s.sealControl(ctx, of.organization, t); err != nil {
		return err
	}
	return s.config.Control.AppendAudit(ctx, draft)
}
