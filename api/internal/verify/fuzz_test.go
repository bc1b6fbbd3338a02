package verify_test

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/tenonhq/tenon/api/internal/verify"
	"github.com/tenonhq/tenon/schema/config"
)

// FuzzVerify: no input verifies that the secret's holder did not send.
func FuzzVerify(f *testing.F) {
	all := kinds(f)
	f.Add("1800000000", "t=1800000000,v1=ab", "a=b", []byte("{}"))
	f.Add("-1", "v1, v1,,v1a,", "bodySHA256=ab", []byte("Body=%"))
	f.Add("", "Basic Og==", "hub.mode=subscribe&hub.verify_token=&hub.challenge=1", []byte(`{"value":[{}]}`))
	f.Fuzz(func(t *testing.T, other, signature, query string, body []byte) {
		for name, k := range all {
			genuine := k.sign(k.source, now, k.body)
			h := http.Header{}
			for header := range genuine.Header {
				h.Set(header, other)
			}
			if k.signature != "" {
				h.Set(k.signature, signature)
			}
			if bytes.Contains(body, []byte(shared)) || bytes.Contains([]byte(signature+query), []byte(shared)) {
				return
			}
			for _, method := range []string{http.MethodPost, http.MethodGet} {
				m, err := verify.Verify(k.source, verify.Request{Method: method, Header: h, Query: query, Body: body, At: now})
				if err == nil && (m.Answer == nil || name != "microsoft") {
					t.Fatalf("a forged message verified: %s", name)
				}
			}
		}
	})
}

// FuzzDescription: whatever describes a sender, what its secret did not sign is
// refused.
func FuzzDescription(f *testing.F) {
	f.Add("{timestamp}.{body}", "", []byte("{}"))
	f.Add("{id}|{timestamp}{body}", "X-Id", []byte("{}"))
	f.Add("}{body}{", "X-Id", []byte("{}"))
	f.Fuzz(func(t *testing.T, template, id string, body []byte) {
		s := config.Source{Verifier: config.VerifierHMAC, Secrets: values(shared), HMAC: &config.Signature{
			Hash: "sha256", Encoding: "hex", SignatureHeader: "X-Sig", TimestampHeader: "X-At", IDHeader: id, Signed: template,
		}}
		r := post(string(body), "X-At", unix(now), "X-Sig", "00", "X-Id", "m")
		if _, err := verify.Verify(s, r); err == nil {
			t.Fatal("a forged message verified")
		}
	})
}

// FuzzLookup: a pointer finds something or nothing, in whatever body.
func FuzzLookup(f *testing.F) {
	f.Add([]byte(`{"a":[1,{"b":"c"}]}`), "/a/1/b")
	f.Add([]byte(`[[[`), "/0")
	f.Fuzz(func(t *testing.T, body []byte, pointer string) {
		found, ok := verify.Lookup(body, pointer)
		if ok != (found != "") || len(found) > 256 {
			t.Fatalf("%q, %v", found, ok)
		}
	})
}
