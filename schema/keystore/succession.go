package keystore

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"
	"slices"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/seal/keyfile"
)

// Side is one of the two pairs that the keys of cells are wrapped to.
type Side string

// The sides.
const (
	SideRoot Side = "root"
	SideAPI  Side = "api"
)

// succession is what the holder of a pair leaves for the processes that run
// with it: the pair that follows. It is sealed with a key derived from the
// private half, so nobody else can name a successor, or learn one.
type succession struct {
	Version int            `json:"version"`
	From    seal.KeyID     `json:"from"`
	To      seal.PublicKey `json:"to"`
	Sealed  []byte         `json:"sealed"`
}

func (s *Store) successionPath(side Side) string {
	return filepath.Join(s.dir, "successor-"+string(side))
}

func successionPlace(side Side) seal.Place {
	return seal.Place{Table: "keystore", Row: "successor", Field: string(side)}
}

func successionKeys(private seal.PrivateKey) (seal.DataKeys, error) {
	key, err := private.Derive("tenon successor key\n")
	if err != nil {
		return seal.DataKeys{}, err
	}
	return seal.NewDataKeys(key), nil
}

// Announce makes the next pair of a side known to the processes that run with
// the current one. Whoever changes the store afterwards sees it.
func (s *Store) Announce(ctx context.Context, side Side, current, next seal.PrivateKey) error {
	keys, err := successionKeys(current)
	if err != nil {
		return err
	}
	text, err := json.Marshal(succession{
		Version: 1, From: current.Public().ID(), To: next.Public(), Sealed: keys.Seal(successionPlace(side), next.Reveal()),
	})
	if err != nil {
		return schema.Errorf(schema.CodeInternal, "the successor does not encode: %w", err)
	}
	return s.alone(ctx, func() error { return keyfile.Supersede(s.successionPath(side), append(text, '\n'), 0o600) })
}

// Withdraw ends what Announce began: who has not learned the next pair by now
// must be started again.
func (s *Store) Withdraw(ctx context.Context, side Side) error {
	return s.alone(ctx, func() error {
		next, err := s.succession(side)
		if schema.CodeOf(err) == schema.CodeNotFound {
			return keyfile.DestroyAny(s.successionPath(side))
		}
		if err != nil {
			return err
		}
		former, err := s.former(side)
		if err != nil {
			return err
		}
		if !slices.Contains(former, next.From) {
			text, err := json.Marshal(append(former, next.From))
			if err != nil {
				return schema.Errorf(schema.CodeInternal, "the former keys do not encode: %w", err)
			}
			if err := keyfile.Supersede(s.formerPath(side), append(text, '\n'), 0o600); err != nil {
				return err
			}
		}
		return keyfile.DestroyAny(s.successionPath(side))
	})
}

func (s *Store) formerPath(side Side) string { return filepath.Join(s.dir, "former-"+string(side)) }

// former are the pairs of a side that were replaced.
func (s *Store) former(side Side) ([]seal.KeyID, error) {
	text, err := keyfile.ReadPrivate(s.formerPath(side), keyFileLimit)
	if schema.CodeOf(err) == schema.CodeNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var former []seal.KeyID
	if err := json.Unmarshal(text, &former); err != nil {
		return nil, schema.Errorf(schema.CodeInvalid, "the key store's former %s keys do not parse", side)
	}
	return former, nil
}

// Current refuses, with CodeUnavailable, the public half of a pair that was or is
// being replaced: what a process with an old copy of it wraps would open with no
// key that is left.
func (s *Store) Current(side Side, public seal.PublicKey) error {
	from, _, announced, err := s.Successor(side)
	if err != nil {
		return err
	}
	former, err := s.former(side)
	if err != nil {
		return err
	}
	if announced && from == public.ID() || slices.Contains(former, public.ID()) {
		return schema.Errorf(schema.CodeUnavailable, "the %s pair was replaced, and what this machine has of it is the former one", side).
			Advise("Bring the new pair's public half to this machine, " + string(side) + ".pub, and where the private half is used, that too.")
	}
	return nil
}

// Successor is the public half that is announced for a side; false without one.
func (s *Store) Successor(side Side) (from seal.KeyID, to seal.PublicKey, announced bool, err error) {
	next, err := s.succession(side)
	if schema.CodeOf(err) == schema.CodeNotFound {
		return from, to, false, nil
	}
	return next.From, next.To, err == nil, err
}

// succession reads what is announced; CodeNotFound when nothing is. A file that is
// blank was being withdrawn, and its former pair is noted already.
func (s *Store) succession(side Side) (succession, error) {
	text, err := keyfile.ReadPrivate(s.successionPath(side), keyFileLimit)
	if keyfile.Blank(text) {
		// Or it was superseded between being opened and being read.
		text, err = keyfile.ReadPrivate(s.successionPath(side), keyFileLimit)
	}
	if err != nil {
		return succession{}, err
	}
	if keyfile.Blank(text) {
		return succession{}, schema.Errorf(schema.CodeNotFound, "the successor of the %s key was withdrawn", side)
	}
	var next succession
	if err := json.Unmarshal(bytes.TrimSpace(text), &next); err != nil || next.Version != 1 {
		return succession{}, schema.Errorf(schema.CodeInvalid, "the key store's successor of the %s key does not parse", side)
	}
	return next, nil
}

// Learn takes up the successor of the side's pair, if one is announced. It is
// cheap, and called often: a process that misses it must be started again.
func (s *Store) Learn(side Side, private seal.PrivateKey) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next, err := s.succession(side)
	if schema.CodeOf(err) == schema.CodeNotFound || schema.CodeOf(err) == schema.CodeInvalid {
		return nil // None, or being written: the next look finds it.
	}
	if err != nil {
		return err
	}
	newest := private
	if known := s.successors[side]; len(known) > 0 {
		newest = known[len(known)-1]
	}
	if newest.Public() == next.To || newest.Public().ID() != next.From {
		return nil
	}
	keys, err := successionKeys(newest)
	if err != nil {
		return err
	}
	raw, err := keys.Open(successionPlace(side), next.Sealed)
	if err != nil {
		return schema.Errorf(schema.CodeRefused, "the successor of the %s key in the key store was not named by who holds that key: %w", side, err)
	}
	defer clear(raw)
	learned, err := seal.ParsePrivateKey(raw)
	if err != nil || learned.Public() != next.To {
		return schema.Errorf(schema.CodeRefused, "the successor of the %s key in the key store is not the half of its public key", side)
	}
	s.successors[side] = append(s.successors[side], learned)
	return nil
}

// Holds are the private keys of a side, the newest first.
func (s *Store) Holds(side Side, private seal.PrivateKey) ([]seal.PrivateKey, error) {
	if err := s.Learn(side, private); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []seal.PrivateKey{private}
	for _, k := range s.successors[side] {
		out = append([]seal.PrivateKey{k}, out...)
	}
	return out, nil
}

// OpenForAPI reads an organization's entry and opens the API's part.
func (s *Store) OpenForAPI(ctx context.Context, org string, private seal.PrivateKey) (APICell, error) {
	e, err := s.Get(ctx, org)
	if err != nil {
		return APICell{}, err
	}
	// After the entry: what it is wrapped to was announced before.
	keys, err := s.Holds(SideAPI, private)
	if err != nil {
		return APICell{}, err
	}
	return e.OpenForAPI(keys...)
}

// OpenForHost reads an organization's entry and opens what its cell needs.
func (s *Store) OpenForHost(ctx context.Context, org string, root seal.PrivateKey) (HostCell, error) {
	e, err := s.Get(ctx, org)
	if err != nil {
		return HostCell{}, err
	}
	keys, err := s.Holds(SideRoot, root)
	if err != nil {
		return HostCell{}, err
	}
	return e.OpenForHost(keys...)
}

// Rewrap wraps a side's part of an entry to another key. What is wrapped to
// another than the former one stays as it is.
func (e *Entry) Rewrap(side Side, former seal.PrivateKey, to seal.PublicKey) error {
	rewrap := func(purpose string, wrapped *[]byte) error {
		if id, ok := seal.KeyOf(*wrapped); !ok || id != former.Public().ID() {
			return nil
		}
		w := seal.Wrap{Organization: e.Organization, Purpose: purpose}
		raw, err := seal.UnwrapKey(former, w, *wrapped)
		if err != nil {
			return err
		}
		defer clear(raw)
		*wrapped, err = seal.WrapKey(to, w, raw)
		return err
	}
	return e.wraps(side, rewrap)
}

// Under counts the wraps of a side by the key that opens them.
func (e *Entry) Under(side Side) map[seal.KeyID]int {
	out := make(map[seal.KeyID]int)
	_ = e.wraps(side, func(_ string, wrapped *[]byte) error {
		if id, ok := seal.KeyOf(*wrapped); ok {
			out[id]++
		}
		return nil
	})
	return out
}

// wraps visits every wrap of a side.
func (e *Entry) wraps(side Side, visit func(purpose string, wrapped *[]byte) error) error {
	for purpose, keys := range map[string][]DataKeyEntry{purposeData: e.DataKeys, purposeAudit: e.AuditKeys} {
		for i := range keys {
			at := &keys[i].ToAPI
			if side == SideRoot {
				at = &keys[i].ToRoot
			}
			if err := visit(purpose, at); err != nil {
				return err
			}
		}
	}
	if side == SideRoot {
		for i := range e.Credentials {
			if err := visit(purposeCredential, &e.Credentials[i].PrivateToRoot); err != nil {
				return err
			}
		}
	}
	for name, d := range e.Databases {
		at := &d.ToAPI
		if side == SideRoot {
			at = &d.ToRoot
		}
		if err := visit(DatabasePurpose(name), at); err != nil {
			return err
		}
		e.Databases[name] = d
	}
	return nil
}
