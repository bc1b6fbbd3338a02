package seal

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"sync/atomic"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/tenonhq/tenon/schema"
)

// Place is where a ciphertext belongs. It is bound to it: moved to another
// organization, table, row or field it does not open (invariant 3).
type Place struct {
	Organization, Table, Row, Field string
}

// bind encodes the place after the header, each part with its length before it.
func (p Place) bind(header []byte) []byte {
	ad := append(make([]byte, 0, 128), header...)
	for _, part := range []string{p.Organization, p.Table, p.Row, p.Field} {
		ad = binary.BigEndian.AppendUint32(ad, uint32(len(part)))
		ad = append(ad, part...)
	}
	return ad
}

// AuditTable is the table of the places that audit keys seal.
const AuditTable = "audit"

// DataKeys are a cell's data keys: new ciphertexts are made with the current
// one, those of older ones still open. Copies share one set: what replaces it in
// one replaces it in all.
type DataKeys struct {
	hidden
	set veil[atomic.Pointer[keySet]]
}

// keySet does not change: it is replaced whole.
type keySet struct {
	ring  ring
	audit ring
}

// ring is keys of one use.
type ring struct {
	current KeyID
	ciphers map[KeyID]cipher.AEAD
}

func newRing(current DataKey, older ...DataKey) ring {
	ciphers := make(map[KeyID]cipher.AEAD, 1+len(older))
	for _, d := range append(older[:len(older):len(older)], current) {
		aead, err := chacha20poly1305.NewX(d.Reveal())
		if err != nil {
			panic("seal: a data key of the wrong size cannot be made: " + err.Error())
		}
		ciphers[d.ID()] = aead
	}
	return ring{current: current.ID(), ciphers: ciphers}
}

func newDataKeys(set *keySet) DataKeys {
	p := new(atomic.Pointer[keySet])
	p.Store(set)
	return DataKeys{set: veil[atomic.Pointer[keySet]]{&p}}
}

// NewDataKeys returns the set.
func NewDataKeys(current DataKey, older ...DataKey) DataKeys {
	return newDataKeys(&keySet{ring: newRing(current, older...)})
}

// WithAudit returns a set whose audit details have keys of their own: the audit
// log is append-only, so what it holds is never sealed anew, and must not bind
// the data keys. Details from before, under data keys, still open.
func (k DataKeys) WithAudit(current DataKey, older ...DataKey) DataKeys {
	return newDataKeys(&keySet{ring: k.set.get().Load().ring, audit: newRing(current, older...)})
}

// Become replaces the set, in every copy, by that of other.
func (k DataKeys) Become(other DataKeys) { k.set.get().Store(other.set.get().Load()) }

// Current is the id of the key that new ciphertexts are made with.
func (k DataKeys) Current() KeyID { return k.set.get().Load().ring.current }

// CurrentAudit is the id of the key that new audit details are sealed with.
func (k DataKeys) CurrentAudit() KeyID {
	set := k.set.get().Load()
	if set.audit.ciphers != nil {
		return set.audit.current
	}
	return set.ring.current
}

// Knows tells whether ciphertexts of the data key open.
func (k DataKeys) Knows(id KeyID) bool {
	_, ok := k.set.get().Load().ring.ciphers[id]
	return ok
}

// Seal encrypts plaintext for its place: header, 24-byte nonce, ciphertext, tag.
func (k DataKeys) Seal(place Place, plaintext []byte) []byte {
	set := k.set.get().Load()
	r := set.ring
	if place.Table == AuditTable && set.audit.ciphers != nil {
		r = set.audit
	}
	h := header(SuiteData, r.current)
	out := make([]byte, headerSize+chacha20poly1305.NonceSizeX, headerSize+chacha20poly1305.NonceSizeX+len(plaintext)+chacha20poly1305.Overhead)
	copy(out, h)
	nonce := out[headerSize:]
	_, _ = rand.Read(nonce) // Never fails: it ends the process instead.
	return r.ciphers[r.current].Seal(out, nonce, plaintext, place.bind(h))
}

// cipher finds the key of a ciphertext. An audit key opens audit details only.
func (s *keySet) cipher(place Place, id KeyID) (cipher.AEAD, bool) {
	if place.Table == AuditTable {
		if aead, ok := s.audit.ciphers[id]; ok {
			return aead, true
		}
	}
	aead, ok := s.ring.ciphers[id]
	return aead, ok
}

// Open decrypts what Seal made for the same place. The error is CodeRefused
// for everything that does not open, and says nothing of what it holds.
func (k DataKeys) Open(place Place, sealed []byte) ([]byte, error) {
	id, rest, err := Split(SuiteData, sealed)
	if err != nil {
		return nil, err
	}
	if k.set.isZero() {
		return nil, schema.Errorf(schema.CodeRefused, "there is no data key")
	}
	aead, ok := k.set.get().Load().cipher(place, id)
	if !ok {
		return nil, schema.Errorf(schema.CodeRefused, "a ciphertext in %s was made with a key that this cell does not have", place.Table)
	}
	if len(rest) < chacha20poly1305.NonceSizeX+chacha20poly1305.Overhead {
		return nil, schema.Errorf(schema.CodeRefused, "a ciphertext in %s is cut short", place.Table)
	}
	nonce, box := rest[:chacha20poly1305.NonceSizeX], rest[chacha20poly1305.NonceSizeX:]
	plain, err := aead.Open(nil, nonce, box, place.bind(sealed[:headerSize]))
	if err != nil {
		return nil, schema.Errorf(schema.CodeRefused, "a ciphertext in %s does not belong there, or was changed", place.Table)
	}
	return plain, nil
}
