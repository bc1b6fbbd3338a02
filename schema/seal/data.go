package seal

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"

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

// DataKeys are a cell's data keys: new ciphertexts are made with the current
// one, those of older ones still open.
type DataKeys struct {
	hidden
	current KeyID
	ciphers veil[map[KeyID]cipher.AEAD]
}

// NewDataKeys returns the set.
func NewDataKeys(current DataKey, older ...DataKey) DataKeys {
	ciphers := make(map[KeyID]cipher.AEAD, 1+len(older))
	for _, d := range append(older[:len(older):len(older)], current) {
		aead, err := chacha20poly1305.NewX(d.Reveal())
		if err != nil {
			panic("seal: a data key of the wrong size cannot be made: " + err.Error())
		}
		ciphers[d.ID()] = aead
	}
	return DataKeys{current: current.ID(), ciphers: veiled(ciphers)}
}

// Current is the id of the key that new ciphertexts are made with.
func (k DataKeys) Current() KeyID { return k.current }

// Seal encrypts plaintext for its place: header, 24-byte nonce, ciphertext, tag.
func (k DataKeys) Seal(place Place, plaintext []byte) []byte {
	aead := (*k.ciphers.get())[k.current]
	h := header(SuiteData, k.current)
	out := make([]byte, headerSize+chacha20poly1305.NonceSizeX, headerSize+chacha20poly1305.NonceSizeX+len(plaintext)+chacha20poly1305.Overhead)
	copy(out, h)
	nonce := out[headerSize:]
	_, _ = rand.Read(nonce) // Never fails: it ends the process instead.
	return aead.Seal(out, nonce, plaintext, place.bind(h))
}

// Open decrypts what Seal made for the same place. The error is CodeRefused
// for everything that does not open, and says nothing of what it holds.
func (k DataKeys) Open(place Place, sealed []byte) ([]byte, error) {
	id, rest, err := Split(SuiteData, sealed)
	if err != nil {
		return nil, err
	}
	if k.ciphers.isZero() {
		return nil, schema.Errorf(schema.CodeRefused, "there is no data key")
	}
	aead, ok := (*k.ciphers.get())[id]
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
