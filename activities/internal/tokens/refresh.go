package tokens

import (
	"context"
	"encoding/json"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
)

// refresh fetches the generation after the given one, unless somebody has by now.
func (s *Source) refresh(ctx context.Context, g Grant, generation int64) error {
	k := key{g.Connection, g.Version}
	s.mu.Lock()
	unsaved, found := s.unsaved[k]
	s.mu.Unlock()
	if found {
		return s.save(ctx, k, unsaved, g)
	}
	row, held, err := s.begin(ctx, g, generation)
	if err != nil || row.Generation > generation {
		return err
	}
	defer held.wipe()
	at := s.cfg.Now()
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	answer, reached, err := s.ask(ctx, g, held.Refresh)
	fresh := kept{IssuedAt: at}
	switch {
	case err != nil && answer.refused == "":
		// What the request may have changed there stays on record.
		if end := s.cfg.Rows.EndRefresh(context.WithoutCancel(ctx), g.Connection, g.Version, s.cfg.Owner, reached); end != nil {
			return end
		}
		return err
	case answer.refused != "":
		fresh = kept{IssuedAt: held.IssuedAt, Refresh: held.Refresh, Refused: &refused{Code: answer.refused, At: at}}
		if row.BegunAt != nil {
			fresh.Refused.Unanswered = *row.BegunAt
		}
	default:
		fresh.Access, fresh.Refresh, fresh.ExpiresAt = answer.access, answer.refresh, answer.expires
		if len(fresh.Refresh) == 0 {
			fresh.Refresh = held.Refresh
		}
	}
	defer fresh.wipe()
	sealed, err := s.seal(g, fresh)
	if err != nil {
		return err
	}
	if err := s.save(context.WithoutCancel(ctx), k, store.Token{
		Connection: g.Connection, Version: g.Version, Generation: generation, Refresher: s.cfg.Owner, Sealed: sealed,
	}, g); err != nil {
		return err
	}
	if fresh.Refused != nil {
		return fresh.Refused.error(g.Connection)
	}
	return nil
}

// begin makes this process the refresher. It waits for another one that may be
// asking still. The row is as it was before: BegunAt tells of a request whose
// answer was lost.
func (s *Source) begin(ctx context.Context, g Grant, generation int64) (store.Token, kept, error) {
	for {
		row, held, err := s.load(ctx, g)
		if err != nil || row.Generation > generation {
			held.wipe()
			return row, kept{}, err
		}
		err = s.cfg.Rows.BeginRefresh(ctx, g.Connection, g.Version, generation, s.cfg.Owner, patience)
		if err == nil {
			return row, held, nil
		}
		held.wipe()
		if schema.CodeOf(err) != schema.CodeConflict {
			return store.Token{}, kept{}, err
		}
		timer := time.NewTimer(lookAgain)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return store.Token{}, kept{}, schema.Errorf(schema.CodeTimeout, "another process is refreshing the token: %w", ctx.Err())
		}
	}
}

func (s *Source) seal(g Grant, k kept) ([]byte, error) {
	plain, err := json.Marshal(k) //nolint:gosec // G117: It is sealed below, and cleared.
	if err != nil {
		return nil, schema.Errorf(schema.CodeInternal, "the tokens do not encode")
	}
	defer clear(plain)
	return s.cfg.Keys.SealToken(g.Connection, g.Version, plain)
}

// save commits an answer. One that cannot be committed now is kept, sealed, for
// the next attempt: until it is on disk nobody uses it, and nobody asks again.
func (s *Source) save(ctx context.Context, k key, row store.Token, g Grant) error {
	err := s.cfg.Rows.PutToken(ctx, row, store.AuditDraft{
		Actor: "system", Action: "credential.token", Target: g.Connection, Namespace: g.Namespace,
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	switch schema.CodeOf(err) {
	case "", schema.CodeConflict:
		// With a conflict another process owns what follows, and has its own.
		delete(s.unsaved, k)
		return nil
	default:
		s.unsaved[k] = row
		return err
	}
}
