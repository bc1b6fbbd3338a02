package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"strings"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
)

// An API key reads tk_<suffix of its id>_<secret>: 32 random bytes in
// lower-case base32. The control database keeps a hash only.
const (
	keyPrefix  = "tk_"
	keyDomain  = "tenon-api-key-v1\x00"
	secretSize = 32
	// maxKeyText bounds what is parsed at all.
	maxKeyText = 256
)

var keyEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// newKey makes an id, the text that its holder is shown once, and the hash.
// The secret has 256 random bits, so that one pass of SHA-256 keeps it: there
// is no dictionary to slow down.
func newKey() (id string, text schema.Secret, hash []byte) {
	id = schema.NewID(schema.PrefixKey)
	secret := make([]byte, secretSize)
	rand.Read(secret)
	hash = hashKey(id, secret)
	plain := []byte(keyPrefix + strings.TrimPrefix(id, string(schema.PrefixKey)+"_") + "_")
	plain = keyEncoding.AppendEncode(plain, secret)
	clear(secret)
	return id, schema.NewSecret(plain), hash
}

// hashKey binds the secret to its id.
func hashKey(id string, secret []byte) []byte {
	h := sha256.New()
	h.Write([]byte(keyDomain))
	h.Write([]byte(id))
	h.Write([]byte{0})
	h.Write(secret)
	return h.Sum(nil)
}

// parseKey splits the text of a key into its id and secret. It accepts one
// spelling only.
func parseKey(text string) (id string, secret []byte, ok bool) {
	if len(text) > maxKeyText {
		return "", nil, false
	}
	rest, ok := strings.CutPrefix(text, keyPrefix)
	if !ok {
		return "", nil, false
	}
	suffix, encoded, ok := strings.Cut(rest, "_")
	if !ok {
		return "", nil, false
	}
	id = string(schema.PrefixKey) + "_" + suffix
	if schema.CheckID(schema.PrefixKey, id) != nil {
		return "", nil, false
	}
	secret, err := keyEncoding.DecodeString(encoded)
	if err != nil || len(secret) != secretSize || keyEncoding.EncodeToString(secret) != encoded {
		return "", nil, false
	}
	return id, secret, true
}

// usable says whether a stored key is the one shown and still in force. It
// compares in constant time, a key that does not exist included.
func usable(stored *store.Key, id string, secret []byte, now time.Time) bool {
	var want [sha256.Size]byte
	if stored != nil {
		copy(want[:], stored.Hash)
	}
	same := subtle.ConstantTimeCompare(hashKey(id, secret), want[:]) == 1
	return same && stored != nil && stored.RevokedAt == nil &&
		(stored.ExpiresAt == nil || now.Before(*stored.ExpiresAt))
}

// NewAdministratorKey makes the text of a platform key: it makes organizations and
// keys, and sees nothing that is theirs. It is good for nothing before
// [IssueAdministratorKey] has it, so that it can be put where it is not lost.
func NewAdministratorKey() schema.Secret {
	_, text, _ := newKey()
	return text
}

// IssueAdministratorKey makes the key valid. Repeated, it changes nothing.
func IssueAdministratorKey(ctx context.Context, control *store.Control, key schema.Secret) error {
	id, secret, ok := parseKey(string(key.Reveal()))
	if !ok {
		return schema.Errorf(schema.CodeInvalid, "this is not the text of a key")
	}
	defer clear(secret)
	hash := hashKey(id, secret)
	err := control.CreateKey(ctx, store.Key{
		ID: id, Name: "administrator", Hash: hash, Permissions: []string{"*"},
		CreatedAt: time.Now().UTC(), CreatedBy: actorSystem,
	}, store.AuditDraft{Actor: actorSystem, Action: "key.create", Target: id})
	if schema.CodeOf(err) != schema.CodeConflict {
		return err
	}
	issued, found := control.GetKey(ctx, id)
	if found == nil && subtle.ConstantTimeCompare(issued.Hash, hash) == 1 {
		return nil
	}
	return errors.Join(err, found)
}

// actorSystem acts when no caller does: at first start.
const actorSystem = "system"
