package api

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/crash"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
)

// custodian learns a new API pair, and seals the doors anew of the cells whose
// keys are being replaced. Every API does: what two do at once is done once.
func (s *Server) custodian() {
	every := time.NewTicker(max(s.config.Limits.Fresh/2, 10*time.Millisecond))
	defer every.Stop()
	seen := make(map[string]time.Time)
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-every.C:
		}
		if err := s.config.Keys.Learn(keystore.SideAPI, s.config.APIKey); err != nil {
			s.log.ErrorContext(s.ctx, "the API key's successor was not learned", "error", err)
		}
		if err := s.resealDoors(s.ctx, seen); err != nil && s.ctx.Err() == nil {
			s.log.WarnContext(s.ctx, "values could not be sealed anew; it is tried again", "error", err)
		}
	}
}

// resealDoors looks after the rotations that have switched. seen is since when.
func (s *Server) resealDoors(ctx context.Context, seen map[string]time.Time) error {
	open, err := s.config.Control.OpenRotations(ctx)
	if err != nil {
		return err
	}
	var failed error
	for _, r := range open {
		if r.State != store.RotationSwitched {
			continue
		}
		// Other APIs may believe the former key for as long as Fresh, and what
		// they began under it is on disk, or refused, within Settle.
		since, ok := seen[r.ID]
		if !ok {
			seen[r.ID] = time.Now()
			continue
		}
		if time.Since(since) < s.config.Limits.Settle {
			continue
		}
		if err := s.resealDoor(ctx, r.Organization); err != nil {
			failed = err
		}
	}
	return failed
}

func (s *Server) resealDoor(ctx context.Context, org string) error {
	cell, release, err := s.cells.acquire(ctx, org)
	if err != nil {
		return err
	}
	defer release()
	retired, err := cell.Door().Retired(ctx)
	if err != nil {
		return err
	}
	clean := func(id seal.KeyID) bool {
		return slices.ContainsFunc(retired, func(r store.Retired) bool { return bytes.Equal(r.ID, id[:]) && r.Clean })
	}
	if left := slices.DeleteFunc(slices.Clone(cell.retiring), clean); len(left) > 0 {
		if err := cell.resealData(ctx, left); err != nil {
			return err
		}
	}
	if left := slices.DeleteFunc(slices.Clone(cell.pairs), clean); len(left) > 0 {
		return cell.takeOver(ctx, left)
	}
	return nil
}

// resealData seals what the door keeps anew from the retiring data keys.
func (c *cell) resealData(ctx context.Context, retiring []seal.KeyID) error {
	door, ids := c.Door(), rawKeys(retiring)
	draft, err := c.aboutKeys("key.retired", retiring, nil)
	if err != nil {
		return err
	}
	if err := door.Retire(ctx, string(keystore.KindData), ids, draft); err != nil {
		return err
	}
	crash.At(crash.KeyRetired)
	broken, current := 0, c.keys.Current()
	n, err := door.Reseal(ctx, current[:], func(v store.SealedValue) ([]byte, error) {
		at := seal.Place{Organization: c.org, Table: v.Table, Row: v.Row, Field: v.Field}
		plain, err := c.keys.Open(at, v.Sealed)
		if err != nil {
			broken++ // It never opens again, under whatever key.
			return nil, nil
		}
		defer clear(plain)
		return c.keys.Seal(at, plain), nil
	})
	if err != nil {
		return err
	}
	if draft, err = c.aboutKeys("key.unused", retiring, map[string]any{"resealed": n, "broken": broken}); err != nil {
		return err
	}
	crash.At(crash.KeyUnused)
	return door.Cleaned(ctx, ids, broken, draft)
}

// takeOver puts the credentials into the door that the cell has sealed anew to the
// current pair. The API opens no credential: what it checks is the place, the
// pair, and that what is replaced is what was sealed anew.
func (c *cell) takeOver(ctx context.Context, retiring []seal.KeyID) error {
	waiting, err := c.Work().ListResealed(ctx)
	if err != nil {
		return err
	}
	taken := 0
	for _, w := range waiting {
		id, err := c.sealedTo(store.Credential{Connection: w.Connection, Version: w.Version, Sealed: w.Sealed})
		if err != nil || id != c.public.ID() {
			return schema.Errorf(schema.CodeRefused, "a credential that was sealed anew belongs elsewhere, or to another key")
		}
		switch err := c.Door().ReplaceCredential(ctx, w); schema.CodeOf(err) {
		case "":
			taken++
		case schema.CodeNotFound: // Its connection is gone.
		default:
			return err
		}
	}
	left, broken := 0, 0
	err = c.Door().EachCredential(ctx, func(row store.Credential) error {
		switch id, err := c.sealedTo(row); {
		case err != nil:
			broken++
		case slices.Contains(retiring, id):
			left++
		}
		return nil
	})
	if err != nil {
		return err
	}
	// What the cell could not open stays, and is lost with the pair: the cell has
	// counted it, and says so when it is done.
	done, err := c.Work().Retired(ctx)
	if err != nil {
		return err
	}
	for _, r := range done {
		if r.Clean && slices.ContainsFunc(retiring, func(id seal.KeyID) bool { return bytes.Equal(r.ID, id[:]) }) {
			left = max(left-r.Broken, 0)
		}
	}
	if left > 0 {
		return nil
	}
	ids := rawKeys(retiring)
	draft, err := c.aboutKeys("key.retired", retiring, map[string]any{"taken_over": taken, "broken": broken})
	if err != nil {
		return err
	}
	if err := c.Door().Retire(ctx, string(keystore.KindCredential), ids, draft); err != nil {
		return err
	}
	crash.At(crash.KeyRetired)
	if draft, err = c.aboutKeys("key.unused", retiring, map[string]any{"broken": broken}); err != nil {
		return err
	}
	crash.At(crash.KeyUnused)
	return c.Door().Cleaned(ctx, ids, broken, draft)
}

// aboutKeys is an audit entry about keys. Their ids are names, not secrets.
func (c *cell) aboutKeys(action string, keys []seal.KeyID, detail map[string]any) (store.AuditDraft, error) {
	if detail == nil {
		detail = make(map[string]any)
	}
	detail["keys"] = keys
	sealed, err := c.sealJSON(place.Audit(c.org, store.ChainDoor), detail)
	return store.AuditDraft{Actor: "system", Action: action, Target: c.org, DetailSealed: sealed}, err
}

func rawKeys(ids []seal.KeyID) [][]byte {
	out := make([][]byte, len(ids))
	for i, id := range ids {
		out[i] = id[:]
	}
	return out
}
