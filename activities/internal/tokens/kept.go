package tokens

import (
	"encoding/json"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
)

// kept is what stands, sealed, in a row of tokens.
type kept struct {
	// Access is the access token, Refresh the refresh token that replaced the
	// credential's own. Bytes, so that they can be overwritten; base64 in JSON.
	Access  []byte `json:"access_token,omitempty"`
	Refresh []byte `json:"refresh_token,omitempty"`
	// IssuedAt and ExpiresAt bound the access token's life; no ExpiresAt: it is
	// not known to end.
	IssuedAt  time.Time `json:"issued_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
	// Refused is the provider's last word, when that was a refusal.
	Refused *refused `json:"refused,omitempty"`
}

// refused is an error of a token endpoint.
type refused struct {
	// Code is one of RFC 6749.
	Code string    `json:"code"`
	At   time.Time `json:"at"`
	// Unanswered is when a request before it got no answer.
	Unanswered time.Time `json:"unanswered,omitzero"`
}

func parse(plain []byte) (kept, error) {
	var k kept
	if err := json.Unmarshal(plain, &k); err != nil {
		return kept{}, schema.Errorf(schema.CodeInternal, "stored tokens do not parse")
	}
	return k, nil
}

func (k *kept) wipe() {
	clear(k.Access)
	clear(k.Refresh)
}

func (k *kept) usable(now time.Time) bool {
	return len(k.Access) > 0 && (k.ExpiresAt.IsZero() || now.Add(last).Before(k.ExpiresAt))
}

// due tells whether the token is near enough to its end to be refreshed.
func (k *kept) due(now time.Time) bool {
	if k.ExpiresAt.IsZero() {
		return false
	}
	margin := min(early, k.ExpiresAt.Sub(k.IssuedAt)/5)
	return !now.Add(margin).Before(k.ExpiresAt)
}

func (k *kept) refusedSince(now time.Time) bool {
	return k.Refused != nil && now.Before(k.Refused.At.Add(repose))
}

// access hands the token over and overwrites the rest.
func (k *kept) access(row store.Token) Access {
	clear(k.Refresh)
	return Access{Token: schema.NewSecret(k.Access), Generation: row.Generation, IssuedAt: k.IssuedAt}
}

// reasons are what the error codes of RFC 6749, 5.2, mean for who entered the
// credential. The provider's own words are not repeated: they may quote a secret.
var reasons = map[string]string{
	"invalid_grant":          "the refresh token was revoked, has ended, or was issued to another client",
	"invalid_client":         "the client's id or secret is wrong, or it must authenticate in another way",
	"unauthorized_client":    "the client may not use this grant",
	"unsupported_grant_type": "it does not know this grant",
	"invalid_scope":          "the scopes are unknown, or not the client's",
	"invalid_request":        "it does not understand the request",
	"invalid_target":         "it does not know the resource or audience",
	"access_denied":          "access was denied",
}

func (r *refused) error(connection string) error {
	what := "the token endpoint of connection %s answered %s: %s"
	args := []any{connection, r.Code, reasons[r.Code]}
	if !r.Unanswered.IsZero() && r.Code == "invalid_grant" {
		what += "; a refresh at %s got no answer, so that the provider may have replaced the token then"
		args = append(args, r.Unanswered.UTC().Format(time.RFC3339))
	}
	hint := "Enter the credential again."
	if r.Code == "invalid_scope" || r.Code == "invalid_request" || r.Code == "unsupported_grant_type" || r.Code == "invalid_target" {
		hint = "Compare use.inject.oauth2 with the provider's manual, change it, and enter the credential again."
	}
	return schema.Errorf(schema.CodeRefused, what, args...).Advise(hint)
}
