package keystore

import (
	"slices"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal"
)

// Kind says which keys of a cell a rotation replaces.
type Kind string

// The kinds of rotation of one cell.
const (
	// KindData replaces the data key, and the key of new audit details.
	KindData Kind = "data"
	// KindCredential replaces the credential pair.
	KindCredential Kind = "credential"
)

// Publics are the halves that new keys are wrapped to.
type Publics struct{ Root, API seal.PublicKey }

// Prepare adds the key that follows. It opens from now on and seals nothing
// yet, so that everyone can learn it first. Repeated, it changes nothing.
func (e *Entry) Prepare(kind Kind, rotation string, to Publics, root ...seal.PrivateKey) error {
	if _, made := e.MadeFor(rotation); made {
		return nil
	}
	if e.changing() {
		return schema.Errorf(schema.CodeConflict, "another rotation of the cell's keys is under way")
	}
	switch kind {
	case KindData:
		key, err := newDataKey(e.Organization, purposeData, to.Root, to.API)
		if err != nil {
			return err
		}
		key.State, key.MadeFor = StateNext, rotation
		e.DataKeys = append(e.DataKeys, key)
		log, err := newDataKey(e.Organization, purposeAudit, to.Root, to.API)
		if err != nil {
			return err
		}
		// Behind the current one it opens, and seals nothing; the first that a
		// cell has must not become current before everyone knows it.
		log.State, log.MadeFor = StateNext, rotation
		e.AuditKeys = append(e.AuditKeys, log)
		return nil
	case KindCredential:
		pair, err := newPair(e.Organization, to.Root)
		if err != nil {
			return err
		}
		pair.State, pair.MadeFor = StateNext, rotation
		e.Credentials = append(e.Credentials, pair)
		return e.listPublics(root)
	default:
		return schema.Errorf(schema.CodeInvalid, "no such kind of key")
	}
}

// Switch makes the key that Prepare added the current one, and all before it
// retiring. Repeated, it changes nothing.
func (e *Entry) Switch(kind Kind, rotation string, root ...seal.PrivateKey) error {
	if _, made := e.MadeFor(rotation); !made {
		return schema.Errorf(schema.CodeConflict, "the rotation has made no key")
	}
	if !e.next() {
		return nil
	}
	switch kind {
	case KindData:
		e.DataKeys = toFront(e.DataKeys, rotation, StateRetiring)
		// Audit keys never retire.
		e.AuditKeys = toFront(e.AuditKeys, rotation, "")
	case KindCredential:
		at := slices.IndexFunc(e.Credentials, func(p CredentialPair) bool { return p.MadeFor == rotation && p.State == StateNext })
		if at < 0 {
			return nil
		}
		next := e.Credentials[at]
		next.State = ""
		rest := slices.Delete(slices.Clone(e.Credentials), at, at+1)
		for i := range rest {
			rest[i].State = StateRetiring
		}
		e.Credentials = append([]CredentialPair{next}, rest...)
	}
	return e.listPublics(root)
}

func (e *Entry) next() bool {
	return slices.ContainsFunc(e.DataKeys, func(d DataKeyEntry) bool { return d.State == StateNext }) ||
		slices.ContainsFunc(e.Credentials, func(p CredentialPair) bool { return p.State == StateNext })
}

func toFront(keys []DataKeyEntry, rotation, state string) []DataKeyEntry {
	at := slices.IndexFunc(keys, func(d DataKeyEntry) bool { return d.MadeFor == rotation && d.State == StateNext })
	if at < 0 {
		return keys
	}
	next := keys[at]
	next.State = ""
	rest := slices.Delete(slices.Clone(keys), at, at+1)
	for i := range rest {
		rest[i].State = state
	}
	return append([]DataKeyEntry{next}, rest...)
}

// Destroy drops the retiring keys, which unused names: one that retires and is not
// among them may have data under it, and nothing is dropped. A data key among
// logged, under which audit details are, becomes an audit key: it opens nothing else
// anymore. Repeated, it changes nothing.
func (e *Entry) Destroy(unused, logged []seal.KeyID, to Publics, root ...seal.PrivateKey) error {
	data, pairs := e.Retiring()
	retiring := append(data, pairs...)
	if len(retiring) == 0 {
		return nil
	}
	for _, id := range retiring {
		if !slices.Contains(unused, id) {
			return schema.Errorf(schema.CodeConflict, "a key retires that was not found unused")
		}
	}
	opened, err := e.dataKeys(root, purposeData, e.DataKeys, toRoot)
	if err != nil {
		return err
	}
	kept := e.DataKeys[:0:0]
	for i, d := range e.DataKeys {
		if d.State != StateRetiring {
			kept = append(kept, d)
			continue
		}
		if !slices.Contains(logged, d.ID) {
			continue
		}
		log, err := wrapDataKey(opened[i], e.Organization, purposeAudit, to.Root, to.API)
		if err != nil {
			return err
		}
		e.AuditKeys = append(e.AuditKeys, log)
	}
	e.DataKeys = kept
	e.Credentials = slices.DeleteFunc(slices.Clone(e.Credentials), func(p CredentialPair) bool { return p.State == StateRetiring })
	return e.listPublics(root)
}

// listPublics seals the list of public keys anew.
func (e *Entry) listPublics(root holder) error {
	keys, err := e.dataKeys(root, purposeData, e.DataKeys, toRoot)
	if err != nil {
		return err
	}
	e.PublicSealed = Set(keys, nil).Seal(publicPlace(e.Organization), e.publics())
	return nil
}
