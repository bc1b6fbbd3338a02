package verify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"

	"github.com/tenonhq/tenon/schema/config"
)

// order finds the key by which the runs of a source's events wait for each
// other. It is stored beside the sealed payload, so only its HMAC is. A message
// without a key waits for none, and is not refused: it is verified.
func order(source config.Source, r Request) string {
	how := source.Order
	if how == nil {
		return ""
	}
	key, ok := "", false
	if how.Header != "" {
		key, ok = single(r.Header, how.Header)
	} else {
		key, ok = Lookup(r.Body, how.Pointer)
	}
	if !ok {
		return ""
	}
	mac := hmac.New(sha256.New, source.OrderSalt)
	mac.Write([]byte(key))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}
