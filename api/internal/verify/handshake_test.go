package verify_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/api/internal/verify"
	"github.com/tenonhq/tenon/schema/config"
)

func get(query url.Values) verify.Request {
	return verify.Request{Method: http.MethodGet, Header: http.Header{}, Query: query.Encode(), At: now}
}

func TestHandshakes(t *testing.T) {
	all := kinds(t)
	slack := all["slack"]
	asked := `{"token":"x","challenge":"abc123","type":"url_verification"}`
	m, err := verify.Verify(slack.source, slack.sign(slack.source, now, asked))
	require.NoError(t, err)
	require.NotNil(t, m.Answer)
	assert.Equal(t, "abc123", string(m.Answer.Body))
	assert.Empty(t, m.ID, "a handshake is no event")
	refused(t, slack.source, slack.sign(slack.other, now, asked))
	refused(t, slack.source, post(asked))

	meta := all["meta"]
	query := url.Values{"hub.mode": {"subscribe"}, "hub.verify_token": {shared}, "hub.challenge": {"1158201444"}}
	m, err = verify.Verify(meta.source, get(query))
	require.NoError(t, err)
	assert.Equal(t, "1158201444", string(m.Answer.Body))
	for name, values := range map[string][]string{
		"hub.mode": {"unsubscribe"}, "hub.verify_token": {spare}, "hub.challenge": {"<script>"},
	} {
		for _, v := range [][]string{values, nil, {""}, {query.Get(name), query.Get(name)}, {strings.Repeat("a", 2000)}} {
			wrong := url.Values{"hub.mode": query["hub.mode"], "hub.verify_token": query["hub.verify_token"], "hub.challenge": query["hub.challenge"]}
			wrong[name] = v
			refused(t, meta.source, get(wrong))
		}
	}

	microsoft := all["microsoft"]
	validation := post("")
	validation.Query = "validationToken=Validation%3A+Testing+client+application"
	m, err = verify.Verify(microsoft.source, validation)
	require.NoError(t, err)
	assert.Equal(t, "Validation: Testing client application", string(m.Answer.Body))
	assert.Equal(t, "text/plain; charset=utf-8", m.Answer.ContentType)
	for _, q := range []string{"validationToken=", "validationToken=%3Cscript%3E", "validationToken=a&validationToken=b", "validationToken=a&x=1", "x=1", "%zz"} {
		wrong := validation
		wrong.Query = q
		refused(t, microsoft.source, wrong)
	}

	// What one vendor asks, no other source answers.
	for name, k := range all {
		if name != "microsoft" {
			refused(t, k.source, validation)
		}
		if name != "meta" {
			refused(t, k.source, get(query))
		}
		if name == "slack" || k.signature == "" {
			continue
		}
		r := k.sign(k.source, now, strings.Replace(k.body, "{", `{"challenge":"abc","type":"url_verification",`, 1))
		if m, err := verify.Verify(k.source, r); err == nil {
			assert.Nil(t, m.Answer, name)
		}
	}
}

func TestIdentity(t *testing.T) {
	all := kinds(t)
	id := func(k kind, change func(*config.Source), r verify.Request) string {
		s := k.source
		change(&s)
		require.NoError(t, verify.Check(s))
		m, err := verify.Verify(s, r)
		require.NoError(t, err)
		return m.ID
	}
	same := func(*config.Source) {}
	github := all["github"]
	r := github.sign(github.source, now, github.body)
	delivery := func(id string) verify.Request {
		return change(r, func(h http.Header) { h.Set("X-GitHub-Delivery", id); h.Set("X-GitHub-Event", id) })
	}
	assert.Equal(t, id(github, same, delivery("a")), id(github, same, delivery("b")),
		"what no signature covers makes no new message of a captured one")
	byHeader := func(s *config.Source) { s.Identity = &config.Identity{By: "header", Header: "X-GitHub-Delivery"} }
	assert.NotEqual(t, id(github, byHeader, delivery("a")), id(github, byHeader, delivery("b")))
	topics := func(s *config.Source) { s.Topics = []string{"a", "b"} }
	assert.NotEqual(t, id(github, topics, delivery("a")), id(github, topics, delivery("b")))
	wanting := github.source
	topics(&wanting)
	refused(t, wanting, delivery("c"))
	byHeader(&wanting)
	wanting.Topics = nil
	refused(t, wanting, r)

	stripe := all["stripe"]
	first, again := stripe.sign(stripe.source, now, stripe.body), stripe.sign(stripe.source, now.Add(1e9), stripe.body)
	assert.Equal(t, id(stripe, same, first), id(stripe, same, again), "Stripe signs again when it sends again")
	assert.Equal(t, "pointer:evt_1", id(stripe, same, first))

	bearer := all["bearer"]
	each := func(s *config.Source) { s.Identity = &config.Identity{By: "each"} }
	assert.Empty(t, id(bearer, each, bearer.sign(bearer.source, now, "{}")))
	pointer := func(s *config.Source) { s.Identity = &config.Identity{By: "pointer", Pointer: "/a~1b/0"} }
	assert.Equal(t, "pointer:7", id(bearer, pointer, bearer.sign(bearer.source, now, `{"a/b":[7]}`)))
	s := bearer.source
	pointer(&s)
	for _, body := range []string{`{}`, `{"a/b":[]}`, `{"a/b":[{}]}`, `{"a/b":{"1":1}}`, `{"a/b":[""]}`, `{"a/b":[null]}`, "no", ""} {
		refused(t, s, bearer.sign(s, now, body))
	}

	// One signature of Twilio covers several divisions into fields.
	twilio := all["twilio"]
	genuine := twilio.sign(twilio.source, now, "Body=hello")
	divided := genuine
	divided.Body = []byte("Bodyh=ello")
	assert.Equal(t, id(twilio, same, genuine), id(twilio, same, divided))
}
