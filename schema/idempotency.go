package schema

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
)

// IdempotencyKey is the key that a target sees of an effect. It depends on the run, the
// first of its lineage, and on the effect's place in it only, so that it is the same for
// every attempt, replay and restore (invariant 7): "tenon_" and 32 characters.
func IdempotencyKey(organization, run, effect string) string {
	sum := Digest([]byte("tenon idempotency key"), []byte(organization), []byte(run), []byte(effect))
	return "tenon_" + base64.RawURLEncoding.EncodeToString(sum[:24])
}

// Digest is SHA-256 over parts, each after its length in 8 bytes, big-endian.
func Digest(parts ...[]byte) []byte {
	h := sha256.New()
	var n [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write(p)
	}
	return h.Sum(nil)
}
