package verify_test

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/api/internal/verify"
	"github.com/tenonhq/tenon/schema/config"
)

// described is a source that describes its sender, changed.
func described(change func(*config.Signature), secrets ...string) config.Source {
	secrets = append(secrets, shared)
	how := config.Signature{Hash: "sha256", Encoding: "hex", SignatureHeader: "X-Sig", TimestampHeader: "X-At", Signed: "{timestamp}.{body}"}
	change(&how)
	return config.Source{Verifier: config.VerifierHMAC, Secrets: values(secrets...), HMAC: &how}
}

func TestGeneric(t *testing.T) {
	mac := func(content string) string { return hex.EncodeToString(sum(sha256.New, shared, content)) }
	body := `{"n":1}`
	stamp := now.UTC().Format(time.RFC3339)
	for name, c := range map[string]struct {
		source  config.Source
		headers []string
	}{
		"timestamp and body":   {described(func(*config.Signature) {}), []string{"X-At", unix(now), "X-Sig", mac(unix(now) + "." + body)}},
		"digits in capitals":   {described(func(*config.Signature) {}), []string{"X-At", unix(now), "X-Sig", strings.ToUpper(mac(unix(now) + "." + body))}},
		"nothing between them": {described(func(h *config.Signature) { h.Signed = "{body}{timestamp}" }), []string{"X-At", unix(now), "X-Sig", mac(body + unix(now))}},
		"another format":       {described(func(h *config.Signature) { h.TimestampFormat = "rfc3339" }), []string{"X-At", stamp, "X-Sig", mac(stamp + "." + body)}},
		"the body alone":       {described(func(h *config.Signature) { h.TimestampHeader, h.Signed = "", "{body}" }), []string{"X-Sig", mac(body)}},
		"fields": {
			described(func(h *config.Signature) {
				h.TimestampHeader, h.Signed = "", "{timestamp}:{body}"
				h.Fields = &config.SignatureFields{Separator: ";", Signature: "h1", Timestamp: "ts"}
			}),
			[]string{"X-Sig", "ts=" + unix(now) + ";h1=" + mac("old") + ";h1=" + mac(unix(now)+":"+body)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, verify.Check(c.source))
			m, err := verify.Verify(c.source, post(body, c.headers...))
			require.NoError(t, err)
			require.NotEmpty(t, m.ID)
			refused(t, c.source, post(body+" ", c.headers...))
		})
	}
	spelled := []string{"X-At", unix(now), "X-Sig", mac(unix(now) + "." + body)}
	m, err := verify.Verify(described(func(*config.Signature) {}), post(body, spelled...))
	require.NoError(t, err)
	spelled[3] = strings.ToUpper(spelled[3])
	again, err := verify.Verify(described(func(*config.Signature) {}), post(body, spelled...))
	require.NoError(t, err)
	assert.Equal(t, m, again, "a respelled signature must not pass as a new message")
}

// A field that stands twice, and parts of a signed body passed off as an id or
// a timestamp.
func TestGenericShifts(t *testing.T) {
	mac := func(content string) string { return hex.EncodeToString(sum(sha256.New, shared, content)) }
	twice := described(func(h *config.Signature) {
		h.TimestampHeader = ""
		h.Fields = &config.SignatureFields{Separator: ",", Signature: "v1", Timestamp: "t"}
	})
	refused(t, twice, post("{}", "X-Sig", "t="+unix(now)+",t="+unix(now)+",v1="+mac(unix(now)+".{}")))
	ids := described(func(h *config.Signature) { h.IDHeader, h.Signed = "X-Id", "{id}.{timestamp}.{body}" })
	signed := mac("a.b." + unix(now) + ".{}")
	refused(t, ids, post("{}", "X-Id", "a.b", "X-At", unix(now), "X-Sig", signed))
	bare := described(func(h *config.Signature) { h.Signed = "{timestamp}{body}" })
	// The last digit of the timestamp moved into the body: a time long ago.
	signed = mac(unix(now) + "{}")
	refused(t, bare, post(unix(now)[9:]+"{}", "X-At", unix(now)[:9], "X-Sig", signed))
}

func TestBadDescriptions(t *testing.T) {
	for name, s := range map[string]config.Source{
		"no hash":              described(func(h *config.Signature) { h.Hash = "" }),
		"weak hash":            described(func(h *config.Signature) { h.Hash = "md5" }),
		"no encoding":          described(func(h *config.Signature) { h.Encoding = "" }),
		"no header":            described(func(h *config.Signature) { h.SignatureHeader = "" }),
		"header with a space":  described(func(h *config.Signature) { h.SignatureHeader = "X Sig" }),
		"body not signed":      described(func(h *config.Signature) { h.Signed = "{timestamp}." }),
		"body signed twice":    described(func(h *config.Signature) { h.Signed = "{timestamp}.{body}{body}" }),
		"timestamp not signed": described(func(h *config.Signature) { h.Signed = "{body}" }),
		"timestamp not sent":   described(func(h *config.Signature) { h.TimestampHeader = "" }),
		"timestamp sent twice": described(func(h *config.Signature) {
			h.Fields = &config.SignatureFields{Separator: ",", Signature: "s", Timestamp: "t"}
		}),
		"id not signed":       described(func(h *config.Signature) { h.IDHeader = "X-Id" }),
		"id beside the body":  described(func(h *config.Signature) { h.IDHeader, h.Signed = "X-Id", "{timestamp}.{id}{body}" }),
		"address unknown":     described(func(h *config.Signature) { h.Signed = "{url}{timestamp}.{body}" }),
		"unknown placeholder": described(func(h *config.Signature) { h.Signed = "{timestamp}.{body}{secret}" }),
		"a brace":             described(func(h *config.Signature) { h.Signed = "{timestamp}.{body}}" }),
		"an open brace":       described(func(h *config.Signature) { h.Signed = "{timestamp}.{body}{" }),
		"secret not encoded":  described(func(h *config.Signature) { h.SecretEncoding = "base64" }, "not base 64!!!!!!!!"),
		"fields by space":     described(func(h *config.Signature) { h.Fields = &config.SignatureFields{Separator: " ", Signature: "s"} }),
		"fields alike": described(func(h *config.Signature) {
			h.TimestampHeader = ""
			h.Fields = &config.SignatureFields{Separator: ",", Signature: "s", Timestamp: "s"}
		}),
		"no description":         {Verifier: config.VerifierHMAC, Secrets: values(shared)},
		"description of another": {Verifier: config.VerifierStripe, Secrets: values(shared), HMAC: &config.Signature{}},
		"no address":             {Verifier: config.VerifierTwilio, Secrets: values(shared)},
		"address with a query":   {Verifier: config.VerifierTwilio, Secrets: values(shared), URL: "https://a.example/?x=1"},
		"address with a user":    {Verifier: config.VerifierTwilio, Secrets: values(shared), URL: "https://u@a.example/"},
		"no verify token":        {Verifier: config.VerifierMeta, Secrets: values(shared)},
		"topics unknown":         {Verifier: config.VerifierStripe, Secrets: values(shared), Topics: []string{"a"}},
		"each of signed":         {Verifier: config.VerifierGitHub, Secrets: values(shared), Identity: &config.Identity{By: "each"}},
		"identity by nothing":    {Verifier: config.VerifierGitHub, Secrets: values(shared), Identity: &config.Identity{By: "header"}},
		"identity by two":        {Verifier: config.VerifierGitHub, Secrets: values(shared), Identity: &config.Identity{By: "header", Header: "X-A", Pointer: "/a"}},
		"identity of no kind":    {Verifier: config.VerifierGitHub, Secrets: values(shared), Identity: &config.Identity{By: "luck"}},
		"order by nothing":       {Verifier: config.VerifierGitHub, Secrets: values(shared), Order: &config.Order{}},
		"order by two":           {Verifier: config.VerifierGitHub, Secrets: values(shared), Order: &config.Order{Header: "X-A", Pointer: "/a"}},
		"tolerance of a day":     {Verifier: config.VerifierStripe, Secrets: values(shared), Tolerance: 86400},
		"password too short":     {Verifier: config.VerifierBasic, Secrets: values("user:password")},
		"user without password":  {Verifier: config.VerifierBasic, Secrets: values("useruseruseruseruser")},
		"token with a space":     {Verifier: config.VerifierBearer, Secrets: values("token token token token")},
		"certificates and more":  {Verifier: config.VerifierMTLS, Secrets: values(shared), MTLS: &config.MTLS{Fingerprints: []string{strings.Repeat("ab", 32)}}},
		"no certificates":        {Verifier: config.VerifierMTLS, MTLS: &config.MTLS{}},
		"bad fingerprint":        {Verifier: config.VerifierMTLS, MTLS: &config.MTLS{Fingerprints: []string{"ab"}}},
		"bad authority":          {Verifier: config.VerifierMTLS, MTLS: &config.MTLS{Authority: "none", Names: []string{"a"}}},
	} {
		t.Run(name, func(t *testing.T) { require.Error(t, verify.Check(s)) })
	}
}
