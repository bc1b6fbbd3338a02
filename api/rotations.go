package api

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/store"
)

const (
	// settleFirst is after how long the outcome of a test call is looked for;
	// the pause doubles until settleSlow.
	settleFirst = 100 * time.Millisecond
	settleSlow  = time.Minute
)

// rotations destroys the versions of credentials that proven ones replaced. The
// cell uses them no more from the moment of the proof; it cannot destroy them,
// for the door is written by the API.
type rotations struct {
	s    *Server
	wake chan struct{}

	mu      sync.Mutex
	pending map[string]attention
}

// attention says when to look at an organization's rotations again.
type attention struct {
	at    time.Time
	pause time.Duration
}

func newRotations(s *Server) *rotations {
	return &rotations{s: s, wake: make(chan struct{}, 1), pending: map[string]attention{}}
}

// watch looks for rotations of the organization until none is left. It does not
// block.
func (r *rotations) watch(org string) {
	r.mu.Lock()
	r.pending[org] = attention{at: time.Now().Add(settleFirst), pause: settleFirst}
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// run works until the server is closed.
func (r *rotations) run() {
	timer := time.NewTimer(settleSlow)
	defer timer.Stop()
	for {
		select {
		case <-r.s.ctx.Done():
			return
		case <-r.wake:
		case <-timer.C:
		}
		timer.Reset(r.pass())
	}
}

// pass looks at those whose time has come and returns when the next one's is.
func (r *rotations) pass() time.Duration {
	r.mu.Lock()
	now, next := time.Now(), settleSlow
	var due []string
	for org, a := range r.pending {
		if a.at.After(now) {
			next = min(next, a.at.Sub(now))
			continue
		}
		due = append(due, org)
	}
	r.mu.Unlock()
	for _, org := range due {
		left, err := r.settle(org)
		if err != nil && !errors.Is(err, context.Canceled) {
			r.s.log.WarnContext(r.s.ctx, "replaced credentials could not be destroyed yet", "organization", org, "error", err)
		}
		r.mu.Lock()
		a := r.pending[org]
		if now.Before(a.at) {
			// Somebody asked again meanwhile.
		} else if left || err != nil {
			a.pause = min(2*a.pause, settleSlow)
			a.at = time.Now().Add(a.pause)
			r.pending[org] = a
		} else {
			delete(r.pending, org)
		}
		if a, ok := r.pending[org]; ok {
			next = min(next, max(time.Until(a.at), 0))
		}
		r.mu.Unlock()
	}
	return next
}

// settle destroys what can be, and reports whether a rotation is left.
func (r *rotations) settle(org string) (left bool, err error) {
	ctx, cancel := context.WithTimeout(r.s.ctx, 10*time.Second)
	defer cancel()
	cell, release, err := r.s.cells.acquire(ctx, org)
	if err != nil {
		return false, err
	}
	defer release()
	rows, err := cell.Door().Rotating(ctx)
	if err != nil {
		return false, err
	}
	for _, row := range rows {
		c := &caller{actor: "system", org: org, cell: cell, namespace: store.Namespace{ID: row.Namespace}}
		k, err := c.custody(ctx, row.ID)
		if err != nil {
			return false, err
		}
		if !k.Proof.Of(row.CredentialVersion, config.ProofProven) {
			left = true
			continue
		}
		draft, err := r.s.audit(c, "credential.destroy", row.ID, map[string]any{"below": row.CredentialVersion})
		if err != nil {
			return false, err
		}
		if _, err := cell.Door().DestroyReplaced(ctx, row.ID, row.CredentialVersion, draft); err != nil {
			return false, err
		}
	}
	return left, nil
}
