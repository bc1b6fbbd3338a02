package verify_test

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/api/internal/verify"
	"github.com/tenonhq/tenon/schema/config"
)

var now = time.Unix(1_800_000_000, 0)

const (
	shared = "0123456789abcdef0123456789abcdef"
	// spare is a secret of another source.
	spare = "fedcba9876543210fedcba9876543210"
)

func secret(fill byte) string {
	return verify.EncodeSecret([]byte(strings.Repeat(string(rune(fill)), 32)))
}

func values(secrets ...string) []config.SourceSecret {
	var out []config.SourceSecret
	for i, s := range secrets {
		out = append(out, config.SourceSecret{ID: strconv.Itoa(i), Value: s})
	}
	return out
}

func sum(algorithm func() hash.Hash, key, content string) []byte {
	mac := hmac.New(algorithm, []byte(key))
	mac.Write([]byte(content))
	return mac.Sum(nil)
}

// kind is a verifier as the tables know it: how its sender signs, and what of
// it there is to attack. The vendors' own libraries sign in tests/vendors.
type kind struct {
	source config.Source
	other  config.Source // another source of the kind, with its own secrets
	body   string
	sign   func(s config.Source, at time.Time, body string) verify.Request
	// signature is the header with the proof; empty where it is no header.
	signature string
	encoding  string // hex, base64, or empty where nothing is encoded
	stamped   bool
	// weaker signs with another algorithm than the scheme's.
	weaker func(s config.Source, at time.Time, body string) verify.Request
}

func post(body string, headers ...string) verify.Request {
	r := verify.Request{Method: http.MethodPost, Header: http.Header{}, Body: []byte(body), At: now}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

func unix(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }

func first(s config.Source) string { return s.Secrets[0].Value }

// standardKind is Standard Webhooks or Svix, symmetric.
func standardKind(verifier, prefix string) kind {
	sign := func(algorithm func() hash.Hash) func(config.Source, time.Time, string) verify.Request {
		return func(s config.Source, at time.Time, body string) verify.Request {
			key, err := verify.DecodeSecret(first(s))
			if err != nil {
				panic(err)
			}
			signature := base64.StdEncoding.EncodeToString(sum(algorithm, string(key), "msg_1."+unix(at)+"."+body))
			return post(body, prefix+"id", "msg_1", prefix+"timestamp", unix(at), prefix+"signature", "v1,"+signature)
		}
	}
	return kind{
		source: config.Source{Verifier: verifier, Secrets: values(secret('a'))},
		other:  config.Source{Verifier: verifier, Secrets: values(secret('b'))},
		body:   `{"n":1}`, sign: sign(sha256.New), weaker: sign(sha1.New),
		signature: prefix + "signature", encoding: "base64", stamped: true,
	}
}

func asymmetric() kind {
	private, foreign := ed25519.NewKeyFromSeed([]byte(shared)), ed25519.NewKeyFromSeed([]byte(spare))
	public := func(k ed25519.PrivateKey) string {
		return verify.PublicKeyPrefix + base64.StdEncoding.EncodeToString(k[32:])
	}
	k := kind{
		source: config.Source{Verifier: config.VerifierStandardWebhooks, Secrets: values(public(private))},
		other:  config.Source{Verifier: config.VerifierStandardWebhooks, Secrets: values(public(foreign))},
		body:   `{"n":1}`, signature: "webhook-signature", encoding: "base64", stamped: true,
	}
	headers := func(at time.Time, body, signature string) verify.Request {
		return post(body, "webhook-id", "msg_1", "webhook-timestamp", unix(at), "webhook-signature", signature)
	}
	k.sign = func(s config.Source, at time.Time, body string) verify.Request {
		key := private
		if first(s) == public(foreign) {
			key = foreign
		}
		return headers(at, body, "v1a,"+base64.StdEncoding.EncodeToString(ed25519.Sign(key, []byte("msg_1."+unix(at)+"."+body))))
	}
	// Whoever knows the public key must not sign with it as if it were a secret.
	k.weaker = func(s config.Source, at time.Time, body string) verify.Request {
		mac := sum(sha256.New, string(private[32:]), "msg_1."+unix(at)+"."+body)
		return headers(at, body, "v1,"+base64.StdEncoding.EncodeToString(mac))
	}
	return k
}

// bodyKind is a sender that signs the body alone.
func bodyKind(verifier, header, prefix string, encode func([]byte) string, encoding string) kind {
	sign := func(algorithm func() hash.Hash) func(config.Source, time.Time, string) verify.Request {
		return func(s config.Source, _ time.Time, body string) verify.Request {
			return post(body, header, prefix+encode(sum(algorithm, first(s), body)))
		}
	}
	return kind{
		source: config.Source{Verifier: verifier, Secrets: values(shared)}, other: config.Source{Verifier: verifier, Secrets: values(spare)},
		body: `{"id":7}`, sign: sign(sha256.New), weaker: sign(sha1.New), signature: header, encoding: encoding,
	}
}

func stripeKind() kind {
	sign := func(version string) func(config.Source, time.Time, string) verify.Request {
		return func(s config.Source, at time.Time, body string) verify.Request {
			return post(body, "Stripe-Signature", "t="+unix(at)+","+version+"="+hex.EncodeToString(sum(sha256.New, first(s), unix(at)+"."+body)))
		}
	}
	return kind{
		source: config.Source{Verifier: config.VerifierStripe, Secrets: values("whsec_" + shared)},
		other:  config.Source{Verifier: config.VerifierStripe, Secrets: values("whsec_" + spare)},
		body:   `{"id":"evt_1","type":"invoice.paid"}`, sign: sign("v1"), weaker: sign("v0"),
		signature: "Stripe-Signature", encoding: "hex", stamped: true,
	}
}

func slackKind() kind {
	sign := func(algorithm func() hash.Hash) func(config.Source, time.Time, string) verify.Request {
		return func(s config.Source, at time.Time, body string) verify.Request {
			return post(body, "X-Slack-Request-Timestamp", unix(at),
				"X-Slack-Signature", "v0="+hex.EncodeToString(sum(algorithm, first(s), "v0:"+unix(at)+":"+body)))
		}
	}
	return kind{
		source: config.Source{Verifier: config.VerifierSlack, Secrets: values(shared)},
		other:  config.Source{Verifier: config.VerifierSlack, Secrets: values(spare)},
		body:   `{"type":"event_callback","event_id":"Ev1"}`, sign: sign(sha256.New), weaker: sign(sha1.New),
		signature: "X-Slack-Signature", encoding: "hex", stamped: true,
	}
}

const address = "https://tenon.example/v1/hooks/src_1"

func twilioKind() kind {
	sign := func(algorithm func() hash.Hash) func(config.Source, time.Time, string) verify.Request {
		return func(s config.Source, _ time.Time, body string) verify.Request {
			form, err := url.ParseQuery(body)
			if err != nil {
				panic(err)
			}
			var names []string
			for name := range form {
				names = append(names, name)
			}
			slices.Sort(names)
			var content strings.Builder
			content.WriteString(address)
			for _, name := range names {
				content.WriteString(name + form.Get(name))
			}
			return post(body, "Content-Type", "application/x-www-form-urlencoded",
				"X-Twilio-Signature", base64.StdEncoding.EncodeToString(sum(algorithm, first(s), content.String())))
		}
	}
	return kind{
		source: config.Source{Verifier: config.VerifierTwilio, URL: address, Secrets: values(shared)},
		other:  config.Source{Verifier: config.VerifierTwilio, URL: address, Secrets: values(spare)},
		body:   "MessageSid=SM1&Body=hello+there&From=%2B1555", sign: sign(sha1.New), weaker: sign(sha256.New),
		signature: "X-Twilio-Signature", encoding: "base64",
	}
}

// genericKind is a sender with everything that can be described.
func genericKind() kind {
	how := config.Signature{
		Hash: "sha512", Encoding: "base64url", SecretEncoding: "hex", SignatureHeader: "X-Sig", Prefix: "s:",
		TimestampHeader: "X-At", TimestampFormat: "unix-ms", IDHeader: "X-Id", Signed: "{url}|{id}.{timestamp}.{body}",
	}
	sign := func(algorithm func() hash.Hash) func(config.Source, time.Time, string) verify.Request {
		return func(s config.Source, at time.Time, body string) verify.Request {
			key, err := hex.DecodeString(first(s))
			if err != nil {
				panic(err)
			}
			ms := strconv.FormatInt(at.UnixMilli(), 10)
			mac := sum(algorithm, string(key), address+"|m-1."+ms+"."+body)
			return post(body, "X-At", ms, "X-Id", "m-1", "X-Sig", "s:"+base64.RawURLEncoding.EncodeToString(mac))
		}
	}
	return kind{
		source: config.Source{Verifier: config.VerifierHMAC, HMAC: &how, URL: address, Secrets: values(shared)},
		other:  config.Source{Verifier: config.VerifierHMAC, HMAC: &how, URL: address, Secrets: values(spare)},
		body:   `{"n":1}`, sign: sign(sha512.New), weaker: sign(sha256.New), signature: "X-Sig", encoding: "base64", stamped: true,
	}
}

// sharedKind is a sender that sends its secret along.
func sharedKind(verifier string, wrap func(string) string, name string) kind {
	return kind{
		source: config.Source{Verifier: verifier, Secrets: values("u:" + shared)},
		other:  config.Source{Verifier: verifier, Secrets: values("u:" + spare)},
		body:   `{"n":1}`, signature: "Authorization",
		sign: func(s config.Source, _ time.Time, body string) verify.Request {
			return post(body, "Authorization", name+" "+wrap(first(s)))
		},
		weaker: func(s config.Source, _ time.Time, body string) verify.Request {
			return post(body, "Authorization", "Digest "+wrap(first(s)))
		},
	}
}

func microsoftKind() kind {
	return kind{
		source: config.Source{Verifier: config.VerifierMicrosoft, Secrets: values(shared)},
		other:  config.Source{Verifier: config.VerifierMicrosoft, Secrets: values(spare)},
		body:   `"r1"`,
		sign: func(s config.Source, _ time.Time, body string) verify.Request {
			return post(`{"value":[{"resource":"a","clientState":"` + first(s) + `"},{"resource":` + body + `,"clientState":"` + first(s) + `"}]}`)
		},
		weaker: func(s config.Source, _ time.Time, body string) verify.Request {
			return post(`{"value":[{"resource":` + body + `,"clientState":"` + first(s) + `"},{"resource":"unproven"}]}`)
		},
	}
}

// kinds are all verifiers there are but mtls, which has no message to forge.
func kinds(t testing.TB) map[string]kind {
	t.Helper()
	encode64 := func(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
	all := map[string]kind{
		"standard-webhooks":         standardKind(config.VerifierStandardWebhooks, "webhook-"),
		"standard-webhooks ed25519": asymmetric(),
		"svix":                      standardKind(config.VerifierSvix, "svix-"),
		"stripe":                    stripeKind(),
		"github":                    bodyKind(config.VerifierGitHub, "X-Hub-Signature-256", "sha256=", hex.EncodeToString, "hex"),
		"shopify":                   bodyKind(config.VerifierShopify, "X-Shopify-Hmac-Sha256", "", encode64, "base64"),
		"slack":                     slackKind(),
		"twilio":                    twilioKind(),
		"meta":                      bodyKind(config.VerifierMeta, "X-Hub-Signature-256", "sha256=", hex.EncodeToString, "hex"),
		"microsoft":                 microsoftKind(),
		"hmac":                      genericKind(),
		"bearer":                    sharedKind(config.VerifierBearer, func(s string) string { return s }, "Bearer"),
		"basic":                     sharedKind(config.VerifierBasic, func(s string) string { return encode64([]byte(s)) }, "Basic"),
	}
	meta := all["meta"]
	meta.source.VerifyToken, meta.other.VerifyToken = shared, spare
	all["meta"] = meta
	for name, k := range all {
		require.NoError(t, verify.Check(k.source), name)
		require.NoError(t, verify.Check(k.other), name)
	}
	return all
}
