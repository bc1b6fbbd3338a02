package verify_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/api/internal/verify"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
)

var now = time.Unix(1_800_000_000, 0)

func secret(fill byte) string {
	return verify.EncodeSecret([]byte(strings.Repeat(string(rune(fill)), 32)))
}

// sign signs with the published library, not with what is tested.
func sign(t *testing.T, secret, id string, at time.Time, body string) http.Header {
	t.Helper()
	signer, err := standardwebhooks.NewWebhook(secret)
	require.NoError(t, err)
	signature, err := signer.Sign(id, at, []byte(body))
	require.NoError(t, err)
	return http.Header{
		"Webhook-Id": {id}, "Webhook-Timestamp": {strconv.FormatInt(at.Unix(), 10)}, "Webhook-Signature": {signature},
	}
}

func TestStandardAccepts(t *testing.T) {
	body := `{"n":1}`
	source := config.Source{Verifier: config.VerifierStandardWebhooks, Secrets: []string{secret('a'), secret('b')}}
	for name, header := range map[string]http.Header{
		"first secret":  sign(t, secret('a'), "msg_1", now, body),
		"second secret": sign(t, secret('b'), "msg_1", now, body),
		"oldest":        sign(t, secret('a'), "msg_1", now.Add(-verify.Tolerance), body),
		"newest":        sign(t, secret('a'), "msg_1", now.Add(verify.Tolerance), body),
	} {
		t.Run(name, func(t *testing.T) {
			m, err := verify.Verify(source, header, []byte(body), now)
			require.NoError(t, err)
			assert.Equal(t, "msg_1", m.ID)
		})
	}
	t.Run("one of several signatures", func(t *testing.T) {
		header := sign(t, secret('a'), "msg_1", now, body)
		header.Set("webhook-signature", "v1a,AAAA v1,"+base64.StdEncoding.EncodeToString(make([]byte, 32))+" "+header.Get("webhook-signature"))
		_, err := verify.Verify(source, header, []byte(body), now)
		require.NoError(t, err)
	})
}

// Invariant 5: each of these must be refused, and all of them alike.
func TestStandardRefuses(t *testing.T) {
	body := `{"n":1}`
	source := config.Source{Verifier: config.VerifierStandardWebhooks, Secrets: []string{secret('a')}}
	good := func() http.Header { return sign(t, secret('a'), "msg_1", now, body) }
	with := func(name string, values ...string) http.Header {
		h := good()
		h[http.CanonicalHeaderKey(name)] = values
		return h
	}
	value := good().Get("webhook-signature")
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(value, "v1,"))
	require.NoError(t, err)
	many := strings.Repeat("v1,"+base64.StdEncoding.EncodeToString(make([]byte, 32))+" ", 16) + value
	for name, c := range map[string]struct {
		header http.Header
		body   string
	}{
		"no headers":            {http.Header{}, body},
		"no id":                 {with("webhook-id"), body},
		"no timestamp":          {with("webhook-timestamp"), body},
		"no signature":          {with("webhook-signature"), body},
		"empty id":              {with("webhook-id", ""), body},
		"empty timestamp":       {with("webhook-timestamp", ""), body},
		"empty signature":       {with("webhook-signature", ""), body},
		"two ids":               {with("webhook-id", "msg_1", "msg_1"), body},
		"two timestamps":        {with("webhook-timestamp", "1800000000", "1800000000"), body},
		"two signature headers": {with("webhook-signature", value, value), body},
		"other id":              {with("webhook-id", "msg_2"), body},
		"id with a dot":         {sign(t, secret('a'), "msg.1", now, body), body},
		"id with a space":       {sign(t, secret('a'), "msg 1", now, body), body},
		"long id":               {sign(t, secret('a'), strings.Repeat("m", 257), now, body), body},
		"stale":                 {sign(t, secret('a'), "msg_1", now.Add(-verify.Tolerance-time.Second), body), body},
		"future":                {sign(t, secret('a'), "msg_1", now.Add(verify.Tolerance+time.Second), body), body},
		"other timestamp":       {with("webhook-timestamp", "1800000001"), body},
		"timestamp respelled":   {with("webhook-timestamp", "+1800000000"), body},
		"timestamp padded":      {with("webhook-timestamp", "01800000000"), body},
		"timestamp fraction":    {with("webhook-timestamp", "1800000000.0"), body},
		"timestamp overflow":    {with("webhook-timestamp", "18446744075509551616"), body},
		"timestamp no number":   {with("webhook-timestamp", "now"), body},
		"body changed":          {good(), `{"n":2}`},
		"body empty":            {good(), ""},
		"body truncated":        {good(), body[:len(body)-1]},
		"body extended":         {good(), body + "\n"},
		"body re-encoded":       {good(), `{"n": 1}`},
		"other secret":          {sign(t, secret('z'), "msg_1", now, body), body},
		"other version":         {with("webhook-signature", strings.Replace(value, "v1,", "v2,", 1)), body},
		"asymmetric version":    {with("webhook-signature", strings.Replace(value, "v1,", "v1a,", 1)), body},
		"no version":            {with("webhook-signature", strings.TrimPrefix(value, "v1,")), body},
		"signature truncated":   {with("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(raw[:31])), body},
		"signature extended":    {with("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(append(raw, 0))), body},
		"signature flipped":     {with("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(append([]byte{raw[0] ^ 1}, raw[1:32]...))), body},
		"signature in hex":      {with("webhook-signature", "v1,"+hex.EncodeToString(raw[:32])), body},
		"signature unpadded":    {with("webhook-signature", strings.TrimRight(value, "=")), body},
		"signature comma only":  {with("webhook-signature", "v1,"), body},
		"too many signatures":   {with("webhook-signature", many), body},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := verify.Verify(source, c.header, []byte(c.body), now)
			require.Error(t, err)
			assert.Equal(t, schema.CodeUnauthenticated, schema.CodeOf(err))
			assert.Equal(t, verify.Nobody(c.header, []byte(c.body), now).Error(), err.Error(), "told apart from an unknown source")
		})
	}
	for name, source := range map[string]config.Source{
		"no verifier":      {Secrets: []string{secret('a')}},
		"unknown verifier": {Verifier: "none", Secrets: []string{secret('a')}},
		"no secret":        {Verifier: config.VerifierStandardWebhooks},
		"empty secret":     {Verifier: config.VerifierStandardWebhooks, Secrets: []string{"whsec_"}},
		"hmac undescribed": {Verifier: config.VerifierHMAC, Secrets: []string{secret('a')}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := verify.Verify(source, good(), []byte(body), now)
			assert.Equal(t, schema.CodeUnauthenticated, schema.CodeOf(err))
			require.Error(t, verify.Check(source))
		})
	}
}

var slack = config.HMAC{
	Hash: "sha256", Encoding: "hex", SignatureHeader: "X-Slack-Signature", Prefix: "v0=",
	TimestampHeader: "X-Slack-Request-Timestamp", SignedPrefix: "v0:", Separator: ":",
}

const shared = "0123456789abcdef0123456789abcdef"

func slackHeader(body string, at int64) http.Header {
	mac := hmac.New(sha256.New, []byte(shared))
	mac.Write([]byte("v0:" + strconv.FormatInt(at, 10) + ":" + body))
	return http.Header{
		"X-Slack-Signature":         {"v0=" + hex.EncodeToString(mac.Sum(nil))},
		"X-Slack-Request-Timestamp": {strconv.FormatInt(at, 10)},
	}
}

func TestGeneric(t *testing.T) {
	source := config.Source{Verifier: config.VerifierHMAC, Secrets: []string{shared}, HMAC: &slack}
	require.NoError(t, verify.Check(source))
	body, at := "token=x&text=y", now.Unix()
	m, err := verify.Verify(source, slackHeader(body, at), []byte(body), now)
	require.NoError(t, err)
	again, err := verify.Verify(source, slackHeader(body, at), []byte(body), now)
	require.NoError(t, err)
	assert.Equal(t, m, again)
	other, err := verify.Verify(source, slackHeader(body, at+1), []byte(body), now)
	require.NoError(t, err)
	assert.NotEqual(t, m, other)

	upper := slackHeader(body, at)
	upper.Set("X-Slack-Signature", "v0="+strings.ToUpper(strings.TrimPrefix(upper.Get("X-Slack-Signature"), "v0=")))
	respelled, err := verify.Verify(source, upper, []byte(body), now)
	require.NoError(t, err)
	assert.Equal(t, m, respelled, "a respelled signature must not pass as a new message")

	for name, change := range map[string]func(http.Header){
		"no signature":    func(h http.Header) { h.Del("X-Slack-Signature") },
		"two signatures":  func(h http.Header) { h.Add("X-Slack-Signature", h.Get("X-Slack-Signature")) },
		"no prefix":       func(h http.Header) { h.Set("X-Slack-Signature", h.Get("X-Slack-Signature")[3:]) },
		"truncated":       func(h http.Header) { h.Set("X-Slack-Signature", h.Get("X-Slack-Signature")[:40]) },
		"not hex":         func(h http.Header) { h.Set("X-Slack-Signature", "v0=zz") },
		"other timestamp": func(h http.Header) { h.Set("X-Slack-Request-Timestamp", strconv.FormatInt(at+1, 10)) },
		"stale": func(h http.Header) {
			h["X-Slack-Request-Timestamp"] = slackHeader(body, at-301)["X-Slack-Request-Timestamp"]
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := slackHeader(body, at)
			change(h)
			_, err := verify.Verify(source, h, []byte(body), now)
			assert.Equal(t, schema.CodeUnauthenticated, schema.CodeOf(err))
		})
	}
}

func TestGenericWithID(t *testing.T) {
	how := config.HMAC{
		Hash: "sha512", Encoding: "base64", SignatureHeader: "X-Signature", TimestampHeader: "X-Time", IDHeader: "X-Delivery", Separator: ".",
	}
	source := config.Source{Verifier: config.VerifierHMAC, Secrets: []string{"another secret of 16", shared}, HMAC: &how}
	body, at := []byte{0, 1, 0xff}, strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha512.New, []byte(shared))
	mac.Write([]byte("d1." + at + "."))
	mac.Write(body)
	h := http.Header{"X-Signature": {base64.StdEncoding.EncodeToString(mac.Sum(nil))}, "X-Time": {at}, "X-Delivery": {"d1"}}
	m, err := verify.Verify(source, h, body, now)
	require.NoError(t, err)
	assert.Equal(t, "d1", m.ID)
	h.Set("X-Delivery", "d2")
	_, err = verify.Verify(source, h, body, now)
	assert.Equal(t, schema.CodeUnauthenticated, schema.CodeOf(err))
}

func TestCheck(t *testing.T) {
	for name, change := range map[string]func(*config.HMAC){
		"hash":             func(h *config.HMAC) { h.Hash = "md5" },
		"encoding":         func(h *config.HMAC) { h.Encoding = "" },
		"separator":        func(h *config.HMAC) { h.Separator = "" },
		"signature header": func(h *config.HMAC) { h.SignatureHeader = "a b" },
		"no timestamp":     func(h *config.HMAC) { h.TimestampHeader = "" },
		"id header":        func(h *config.HMAC) { h.IDHeader = "a:b" },
		"prefix":           func(h *config.HMAC) { h.Prefix = strings.Repeat("x", 65) },
	} {
		t.Run(name, func(t *testing.T) {
			how := slack
			change(&how)
			err := verify.Check(config.Source{Verifier: config.VerifierHMAC, Secrets: []string{shared}, HMAC: &how})
			assert.Equal(t, schema.CodeInvalid, schema.CodeOf(err))
		})
	}
	for _, s := range []string{"", "short", strings.Repeat("x", 513)} {
		require.Error(t, verify.Check(config.Source{Verifier: config.VerifierHMAC, Secrets: []string{s}, HMAC: &slack}))
	}
	for _, s := range []string{"", "whsec_", "whsec_AAAA", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "whsec_!!!!"} {
		err := verify.Check(config.Source{Verifier: config.VerifierStandardWebhooks, Secrets: []string{s}})
		require.Error(t, err)
		if len(s) > 6 {
			assert.NotContains(t, err.Error(), s)
		}
	}
}

// FuzzVerify: no input verifies that the secret's holder did not sign.
func FuzzVerify(f *testing.F) {
	f.Add("msg_1", "1800000000", "v1,AAAA", []byte("{}"))
	f.Add("", "-1", "v1, v1,,", []byte{})
	source := config.Source{Verifier: config.VerifierStandardWebhooks, Secrets: []string{secret('a')}}
	f.Fuzz(func(t *testing.T, id, timestamp, signature string, body []byte) {
		h := http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {timestamp}, "Webhook-Signature": {signature}}
		if _, err := verify.Verify(source, h, body, now); err == nil {
			t.Fatal("a forged message verified")
		}
		_, err := verify.Verify(config.Source{Verifier: config.VerifierHMAC, Secrets: []string{shared}, HMAC: &slack},
			http.Header{"X-Slack-Signature": {signature}, "X-Slack-Request-Timestamp": {timestamp}}, body, now)
		if err == nil {
			t.Fatal("a forged message verified")
		}
	})
}
