package verify_test

import (
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
	"github.com/tenonhq/tenon/schema/config"
)

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

func request(header http.Header, body string) verify.Request {
	return verify.Request{Method: http.MethodPost, Header: header, Body: []byte(body), At: now}
}

func TestStandardAccepts(t *testing.T) {
	body := `{"n":1}`
	source := config.Source{Verifier: config.VerifierStandardWebhooks, Secrets: values(secret('a'), secret('b'))}
	mixed := sign(t, secret('a'), "msg_1", now, body)
	mixed.Set("webhook-signature", "v1a,AAAA v1,"+base64.StdEncoding.EncodeToString(make([]byte, 32))+" "+mixed.Get("webhook-signature"))
	for name, header := range map[string]http.Header{
		"first secret":              sign(t, secret('a'), "msg_1", now, body),
		"second secret":             sign(t, secret('b'), "msg_1", now, body),
		"oldest":                    sign(t, secret('a'), "msg_1", now.Add(-verify.Tolerance), body),
		"newest":                    sign(t, secret('a'), "msg_1", now.Add(verify.Tolerance), body),
		"one of several signatures": mixed,
	} {
		t.Run(name, func(t *testing.T) {
			m, err := verify.Verify(source, request(header, body))
			require.NoError(t, err)
			assert.Equal(t, "id:msg_1", m.ID)
		})
	}
	source.Tolerance = 1
	refused(t, source, request(sign(t, secret('a'), "msg_1", now.Add(-2*time.Second), body), body))
}

// Invariant 5: each of these must be refused, and all of them alike.
func TestStandardRefuses(t *testing.T) {
	body := `{"n":1}`
	source := config.Source{Verifier: config.VerifierStandardWebhooks, Secrets: values(secret('a'))}
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
		t.Run(name, func(t *testing.T) { refused(t, source, request(c.header, c.body)) })
	}
}
