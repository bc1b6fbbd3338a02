package supervisor

import (
	"context"
	"time"

	"github.com/tenonhq/tenon/schema/token"
)

// revokeEvery is how often a host looks for operators' tokens that were
// revoked: within a second the engine knows.
const revokeEvery = 250 * time.Millisecond

// tellRevocations tells the engine of revoked tokens until the context ends.
// The engine keeps them; what it could not be told is tried again. Every host
// does this: the engine never takes one back, so which comes first is no matter.
func (h *Host) tellRevocations(ctx context.Context) {
	told := make(map[string]time.Time)
	tick := time.NewTicker(revokeEvery)
	defer tick.Stop()
	failing := false
	for {
		err := h.tellRevoked(ctx, told)
		if err != nil && !failing && ctx.Err() == nil {
			h.cfg.Logger.WarnContext(ctx, "the engine could not be told of revoked tokens and is told again", "error", err)
		}
		failing = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (h *Host) tellRevoked(ctx context.Context, told map[string]time.Time) error {
	// Older than that, no token is left to refuse.
	revoked, err := h.cfg.Control.RevokedTokens(ctx, time.Now().Add(-token.MaxLife))
	if err != nil {
		return err
	}
	for organization, at := range revoked {
		if told[organization].Equal(at) {
			continue
		}
		if err := h.cfg.Revoke(ctx, organization, at); err != nil {
			return err
		}
		told[organization] = at
	}
	return nil
}
