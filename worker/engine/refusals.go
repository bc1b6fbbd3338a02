package engine

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/tenonhq/tenon/schema/token"
)

const (
	// maxRefusals bounds the kinds of refused call that are told apart at one time.
	maxRefusals = 4096
	// reportEvery is how long refused calls are counted between two reports, and
	// retryEvery how long after one that failed.
	reportEvery = 100 * time.Millisecond
	retryEvery  = 5 * time.Second
	// reportPatience bounds one report of all that was counted, and lastPatience
	// the one as the engine stops.
	reportPatience = 10 * time.Second
	lastPatience   = 2 * time.Second
)

// refusal is a kind of refused call. Nothing in it is of the caller's choice but
// the method, of which there are few: nobody can fill the table for others.
type refusal struct {
	organization string
	role         token.Role
	subject      string
	method       string
}

// refused is how many calls of a kind were refused, and the token that reports
// them: of those that callers brought, the one that is good for longest.
type refused struct {
	by    bearer
	count int64
}

// refusals counts refused calls in memory, so that no caller waits and none is
// left out of a flood, and reports the counts in the background. What cannot be
// reported is kept and tried again; so a report whose answer got lost counts twice.
type refusals struct {
	to  Recorder
	log *slog.Logger

	mu     sync.Mutex
	counts map[refusal]*refused
	// beyond counts those of more kinds than are told apart.
	beyond int64
	// fresh holds something when there is something to report.
	fresh chan struct{}

	stop  context.CancelFunc
	ended chan struct{}
}

func newRefusals(to Recorder, log *slog.Logger) *refusals {
	ctx, stop := context.WithCancel(context.Background())
	r := &refusals{
		to: to, log: log, counts: make(map[refusal]*refused), fresh: make(chan struct{}, 1), stop: stop, ended: make(chan struct{}),
	}
	go r.run(ctx)
	return r
}

// add counts refused calls of a kind, and says that they are there.
func (r *refusals) add(of refusal, by bearer, count int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.counts[of]
	switch {
	case known == nil && len(r.counts) >= maxRefusals:
		r.beyond += count
	case known == nil:
		r.counts[of] = &refused{by: by, count: count}
	default:
		known.count += count
		if by.claims.Expires.After(known.by.claims.Expires) {
			known.by = by
		}
	}
	select {
	case r.fresh <- struct{}{}:
	default:
	}
}

// take returns what was counted, and begins anew.
func (r *refusals) take() (counts map[refusal]*refused, beyond int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	counts, beyond = r.counts, r.beyond
	r.counts, r.beyond = make(map[refusal]*refused), 0
	return counts, beyond
}

// run reports until end is called.
func (r *refusals) run(ctx context.Context) {
	defer close(r.ended)
	for ctx.Err() == nil {
		wait := reportEvery
		select {
		case <-ctx.Done():
		case <-r.fresh:
			if err := r.report(ctx, reportPatience); err != nil && ctx.Err() == nil {
				r.log.WarnContext(ctx, "refused calls could not be put on the record and are tried again", "error", err)
				wait = retryEvery
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// report puts on the record what was counted. It keeps what it could not, as
// long as its token is good, and returns why.
func (r *refusals) report(ctx context.Context, patience time.Duration) (err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	counts, beyond := r.take()
	if beyond > 0 {
		r.log.ErrorContext(ctx, "refused calls of too many kinds at once are counted here only", "count", beyond)
	}
	for of, c := range counts {
		failed := r.to.Record(ctx, Act{Token: c.by.token, Organization: of.organization, Method: of.method, Count: c.count})
		switch {
		case failed == nil:
		case time.Now().After(c.by.claims.Expires):
			r.lose(ctx, of, c, failed)
		default:
			r.add(of, c.by, c.count)
			err = failed
		}
	}
	return err
}

// lose logs what can be put on no record any more.
func (r *refusals) lose(ctx context.Context, of refusal, c *refused, err error) {
	r.log.ErrorContext(ctx, "refused calls could not be put on the record and are counted here only",
		"organization", of.organization, "role", string(of.role), "subject", of.subject, "method", of.method, "count", c.count, "error", err)
}

// end reports what is left. Nothing may be counted any more.
func (r *refusals) end(ctx context.Context) {
	r.stop()
	<-r.ended
	if err := r.report(ctx, lastPatience); err != nil {
		left, _ := r.take()
		for of, c := range left {
			r.lose(ctx, of, c, err)
		}
	}
}
