package activities

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"slices"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/crash"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
)

// The kinds of keys that a cell retires.
const (
	retireData       = "data"
	retireCredential = "credential"
)

// Adopt replaces the cell's keys while it runs: what is sealed from now on is
// sealed with the new ones. Private has at least one key, the current one first.
func (e *Executor) Adopt(private []seal.PrivateKey, data seal.DataKeys) {
	e.cfg.Data.Become(data)
	e.keys.Adopt(private)
}

// Reseal seals anew what retiring keys sealed: what this side keeps under the data
// keys; and the credentials, which only the cell can open, from the pairs. A
// credential is left for the API, which writes where it belongs. clean says that
// nothing is left; else it is to be called again. It may be ended anywhere.
func (e *Executor) Reseal(ctx context.Context, data, pairs []seal.KeyID) (clean bool, err error) {
	clean = true
	if len(data) > 0 {
		if err := e.resealData(ctx, data); err != nil {
			return false, err
		}
	}
	if len(pairs) > 0 {
		if clean, err = e.resealPairs(ctx, pairs); err != nil {
			return false, err
		}
	}
	return clean, nil
}

func (e *Executor) resealData(ctx context.Context, retiring []seal.KeyID) error {
	work := e.cfg.Cell.Work()
	ids := raw(retiring)
	if err := work.Retire(ctx, retireData, ids, e.aboutKeys("key.retired", retiring, nil)); err != nil {
		return err
	}
	crash.At(crash.KeyRetired)
	broken, current := 0, e.cfg.Data.Current()
	n, err := work.Reseal(ctx, current[:], func(v store.SealedValue) ([]byte, error) {
		at := seal.Place{Organization: e.cfg.Organization, Table: v.Table, Row: v.Row, Field: v.Field}
		plain, err := e.cfg.Data.Open(at, v.Sealed)
		if err != nil {
			broken++ // It never opens again, under whatever key.
			return nil, nil
		}
		defer clear(plain)
		return e.cfg.Data.Seal(at, plain), nil
	})
	if err != nil {
		return err
	}
	crash.At(crash.KeyUnused)
	return work.Cleaned(ctx, ids, broken, e.aboutKeys("key.unused", retiring, map[string]any{"resealed": n, "broken": broken}))
}

func (e *Executor) resealPairs(ctx context.Context, retiring []seal.KeyID) (clean bool, err error) {
	work := e.cfg.Cell.Work()
	tokens := e.keys.TokenKeys(retiring)
	ids := raw(append(slices.Clone(retiring), tokens...))
	if err := work.Retire(ctx, retireCredential, ids, e.aboutKeys("key.retired", retiring, nil)); err != nil {
		return false, err
	}
	crash.At(crash.KeyRetired)
	n, broken, err := e.resealTokens(ctx)
	if err != nil {
		return false, err
	}
	left, unopened, err := e.resealCredentials(ctx)
	if err != nil || left > 0 {
		return false, err
	}
	if err := work.DropResealed(ctx); err != nil {
		return false, err
	}
	broken += unopened
	crash.At(crash.KeyUnused)
	return true, work.Cleaned(ctx, ids, broken, e.aboutKeys("key.unused", retiring, map[string]any{"resealed": n, "broken": broken}))
}

// resealTokens seals the OAuth2 tokens anew, whose key is derived from the pair.
func (e *Executor) resealTokens(ctx context.Context) (n, broken int, err error) {
	tokens, err := e.cfg.Cell.Work().ListTokens(ctx)
	if err != nil {
		return 0, 0, err
	}
	for _, k := range tokens {
		if id, ok := seal.KeyOf(k.Sealed); !ok || id == e.keys.TokenKey() {
			continue
		}
		again, err := e.keys.TokenAgain(k.Connection, k.Version, k.Sealed)
		if err != nil {
			broken++
			continue
		}
		switch err := e.cfg.Cell.Work().ResealToken(ctx, k, again); schema.CodeOf(err) {
		case "":
			n++
		case schema.CodeConflict: // It was refreshed meanwhile, and sealed with the current key.
		default:
			return n, broken, err
		}
	}
	return n, broken, nil
}

// resealCredentials leaves each credential that another pair than the current one
// opens, sealed anew, for the API. left counts those that the API has not taken
// over yet, broken those that do not open.
func (e *Executor) resealCredentials(ctx context.Context) (left, broken int, err error) {
	current := e.keys.Current().ID()
	err = e.cfg.Cell.Door().EachCredential(ctx, func(c store.Credential) error {
		id, err := e.keys.SealedTo(c.Sealed, c.Connection, c.Version)
		switch {
		case err != nil:
			broken++
			return nil
		case id == current:
			return nil
		}
		again, err := e.keys.Again(c.Sealed, c.Connection, c.Version)
		if err != nil {
			broken++
			return nil
		}
		left++
		sum := sha256.Sum256(c.Sealed)
		return e.cfg.Cell.Work().PutResealed(ctx, store.Resealed{Connection: c.Connection, Version: c.Version, Replaces: sum[:], Sealed: again})
	})
	return left, broken, err
}

// aboutKeys is an audit entry about keys. Their ids are names, not secrets.
func (e *Executor) aboutKeys(action string, keys []seal.KeyID, detail map[string]any) store.AuditDraft {
	if detail == nil {
		detail = make(map[string]any)
	}
	detail["keys"] = keys
	text, err := json.Marshal(detail)
	if err != nil {
		panic("activities: an audit detail does not encode: " + err.Error())
	}
	return store.AuditDraft{
		Actor: "system", Action: action, Target: e.cfg.Organization,
		DetailSealed: e.cfg.Data.Seal(place.Audit(e.cfg.Organization, store.ChainWork), text),
	}
}

func raw(ids []seal.KeyID) [][]byte {
	out := make([][]byte, len(ids))
	for i, id := range ids {
		out[i] = id[:]
	}
	return out
}

// KnownKeys is where a cell leaves the ids of the data keys and pairs that it
// opens: a key seals nothing before the cell knows it.
const KnownKeys = "keys"

// Acknowledge leaves the ids of the keys that the cell opens now.
func (e *Executor) Acknowledge(ctx context.Context, known []seal.KeyID) error {
	text, err := json.Marshal(known)
	if err != nil {
		return schema.Errorf(schema.CodeInternal, "key ids do not encode: %w", err)
	}
	return e.cfg.Cell.Work().SetMeta(ctx, KnownKeys, text)
}
