package api

import (
	"bytes"
	"context"
	"maps"
	"slices"

	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
)

// keyReport counts what is under each key.
type keyReport struct {
	keys   map[seal.KeyID]*CellKey
	order  []seal.KeyID
	broken int
}

func newKeyReport(e keystore.Entry) *keyReport {
	r := &keyReport{keys: make(map[seal.KeyID]*CellKey)}
	for i, k := range e.DataKeys {
		r.add(k.ID, "data", keyState(i, k.State))
	}
	for i, k := range e.Credentials {
		r.add(k.Public.ID(), "credential", keyState(i, k.State))
	}
	for i, k := range e.AuditKeys {
		r.add(k.ID, "audit", keyState(i, k.State))
	}
	if id, ok := seal.KeyOf(e.PublicSealed); ok {
		r.found(id, Sealed{Side: "keystore", Table: "keystore", Column: "public_sealed", Rows: 1})
	}
	return r
}

func (r *keyReport) add(id seal.KeyID, kind, state string) *CellKey {
	k := &CellKey{ID: id.String(), Kind: kind, State: state, Where: []Sealed{}}
	r.keys[id] = k
	r.order = append(r.order, id)
	return k
}

func (r *keyReport) found(id seal.KeyID, where Sealed) {
	k := r.keys[id]
	if k == nil {
		kind := "unknown"
		if where.Table == "tokens" {
			kind = "token"
		}
		k = r.add(id, kind, "none")
	}
	k.Sealed += where.Rows
	k.Where = append(k.Where, where)
}

// count reads every sealed column of both sides, and looks below the outer layer
// of credentials.
func (r *keyReport) count(ctx context.Context, c *cell) error {
	for _, side := range []struct {
		name    string
		under   func(context.Context) ([]store.SealedCount, error)
		retired func(context.Context) ([]store.Retired, error)
	}{
		{store.ChainDoor, c.Door().SealedUnder, c.Door().Retired},
		{store.ChainWork, c.Work().SealedUnder, c.Work().Retired},
	} {
		counts, err := side.under(ctx)
		if err != nil {
			return err
		}
		for _, n := range counts {
			if len(n.Key) != len(seal.KeyID{}) {
				r.broken += n.Rows
				continue
			}
			r.found(seal.KeyID(n.Key), Sealed{Side: side.name, Table: n.Table, Column: n.Column, Rows: n.Rows})
		}
		retired, err := side.retired(ctx)
		if err != nil {
			return err
		}
		for _, k := range retired {
			r.broken += k.Broken
		}
	}
	pairs := make(map[seal.KeyID]int)
	err := c.Door().EachCredential(ctx, func(row store.Credential) error {
		if id, err := c.sealedTo(row); err == nil {
			pairs[id]++
		}
		return nil
	})
	for _, id := range sortedKeys(pairs) {
		r.found(id, Sealed{Side: store.ChainDoor, Table: "credentials", Column: "inside", Rows: pairs[id]})
	}
	return err
}

func (r *keyReport) list() []CellKey {
	out := make([]CellKey, 0, len(r.order))
	for _, id := range r.order {
		out = append(out, *r.keys[id])
	}
	return out
}

func sortedKeys(m map[seal.KeyID]int) []seal.KeyID {
	return slices.SortedFunc(maps.Keys(m), func(a, b seal.KeyID) int { return bytes.Compare(a[:], b[:]) })
}
