package api_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/api"
	"github.com/tenonhq/tenon/schema"
)

const doorSecret = "0123456789abcdef0123456789abcdef"

// made is what creating a source answers.
type made struct {
	ID, Secret  string
	VerifyToken string `json:"verify_token"`
}

func (o *tenant) create(body string) made {
	o.p.t.Helper()
	var m made
	o.p.must(http.StatusCreated, o.p.call("POST", "/v1/sources", o.bound, body), &m)
	return m
}

func hexMAC(secret, content string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(content))
	return hex.EncodeToString(mac.Sum(nil))
}

// Invariant 5: a source without a verifier cannot exist, and what a verifier
// lacks is said without its secret.
func TestSourcesAreComplete(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	o := p.tenant("acme")
	o.deploy(billing)
	for _, body := range []string{
		`"verifier":""`, `"verifier":"none"`, `"verifier":"hmac"`, `"verifier":"stripe"`, `"verifier":"shopify"`, `"verifier":"slack"`,
		`"verifier":"meta"`, `"verifier":"twilio","secrets":["` + doorSecret + `"]`, `"verifier":"stripe","secrets":["short"]`,
		`"verifier":"mtls","mtls":{"fingerprints":["` + strings.Repeat("ab", 32) + `"]}`,
		`"verifier":"github","secrets":["` + doorSecret + `"],"identity":{"by":"each"}`,
	} {
		r := p.call("POST", "/v1/sources", o.bound, `{"name":"shop","flow":"billing",`+body+`}`)
		assert.Contains(t, []int{http.StatusBadRequest, http.StatusUnprocessableEntity}, r.status, "%s: %s", body, r.body)
		assert.NotContains(t, string(r.body), doorSecret)
	}
}

func TestVendorsAtTheDoor(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	o := p.tenant("acme")
	o.deploy(billing)
	github := o.create(`{"name":"github","flow":"billing","verifier":"github"}`)
	require.NotEmpty(t, github.Secret)
	send := func(delivery string) string {
		var accepted struct{ Event string }
		p.must(http.StatusAccepted, p.call("POST", "/v1/hooks/"+github.ID, "", `{"a":1}`,
			with("X-Hub-Signature-256", "sha256="+hexMAC(github.Secret, `{"a":1}`)), with("X-GitHub-Delivery", delivery)), &accepted)
		return accepted.Event
	}
	assert.Equal(t, send("one"), send("two"), "a captured message under another id, which nothing signs, is nothing new")

	// A handshake leaves no event, and is answered to those who prove themselves.
	slack := o.create(`{"name":"slack","flow":"billing","verifier":"slack","secrets":["` + doorSecret + `"]}`)
	asked := `{"type":"url_verification","challenge":"3eZbrw1a"}`
	at := time.Now().Unix()
	stamp := strconv.FormatInt(at, 10)
	r := p.call("POST", "/v1/hooks/"+slack.ID, "", asked,
		with("X-Slack-Request-Timestamp", stamp), with("X-Slack-Signature", "v0="+hexMAC(doorSecret, "v0:"+stamp+":"+asked)))
	require.Equal(t, http.StatusOK, r.status, "%s", r.body)
	assert.Equal(t, "3eZbrw1a", string(r.body))
	assert.Equal(t, "text/plain; charset=utf-8", r.header.Get("Content-Type"))
	assert.Equal(t, http.StatusUnauthorized, p.call("POST", "/v1/hooks/"+slack.ID, "", asked).status)

	meta := o.create(`{"name":"meta","flow":"billing","verifier":"meta","secrets":["` + doorSecret + `"]}`)
	require.NotEmpty(t, meta.VerifyToken)
	handshake := "?hub.mode=subscribe&hub.challenge=1158&hub.verify_token="
	r = p.call("GET", "/v1/hooks/"+meta.ID+handshake+meta.VerifyToken, "", "")
	require.Equal(t, http.StatusOK, r.status, "%s", r.body)
	assert.Equal(t, "1158", string(r.body))
	for _, path := range []string{meta.ID + handshake + "x", meta.ID, slack.ID + handshake + meta.VerifyToken, schema.NewID(schema.PrefixSource) + handshake} {
		assert.Equal(t, http.StatusUnauthorized, p.call("GET", "/v1/hooks/"+path, "", "").status, path)
	}

	graph := o.create(`{"name":"graph","flow":"billing","verifier":"microsoft"}`)
	r = p.call("POST", "/v1/hooks/"+graph.ID+"?validationToken=Validation%3A+a", "", "")
	require.Equal(t, http.StatusOK, r.status, "%s", r.body)
	assert.Equal(t, "Validation: a", string(r.body))
	p.must(http.StatusAccepted, p.call("POST", "/v1/hooks/"+graph.ID, "", `{"value":[{"clientState":"`+graph.Secret+`"}]}`), nil)

	assert.Equal(t, 2, p.events(o.org))
}

// A source's secret is rotated without a message lost, and the last one stays.
func TestSourceSecretsRotate(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	o := p.tenant("acme")
	o.deploy(billing)
	source, old := o.source("shop", "billing")
	path := "/v1/sources/" + source + "/secrets"
	n := 0
	post := func(secret string) int {
		n++
		body := `{"n":` + strconv.Itoa(n) + `}`
		return p.call("POST", "/v1/hooks/"+source, "", body, p.signed(secret, "msg_"+strconv.Itoa(n), body)...).status
	}
	type shown struct {
		ID, Secret string
		RetiresAt  *time.Time `json:"retires_at"`
	}
	var list struct{ Items []shown }
	p.must(http.StatusOK, p.call("GET", path, o.bound, ""), &list)
	require.Len(t, list.Items, 1)
	r := p.call("DELETE", path+"/"+list.Items[0].ID, o.bound, "")
	require.Equal(t, http.StatusConflict, r.status, "the last secret went: %s", r.body)

	var added shown
	p.must(http.StatusCreated, p.call("POST", path, o.bound, `{"retire_others":60}`), &added)
	assert.Equal(t, http.StatusAccepted, post(old))
	assert.Equal(t, http.StatusAccepted, post(added.Secret))
	p.clock.move(61 * time.Second)
	assert.Equal(t, http.StatusUnauthorized, post(old))
	assert.Equal(t, http.StatusAccepted, post(added.Secret))

	var next shown
	p.must(http.StatusCreated, p.call("POST", path, o.bound, `{}`), &next)
	p.must(http.StatusOK, p.call("GET", path, o.bound, ""), &list)
	require.Len(t, list.Items, 2, "a retired secret is kept no longer")
	for _, item := range list.Items {
		assert.Empty(t, item.Secret)
	}
	assert.Equal(t, http.StatusNotFound, p.call("DELETE", path+"/none", o.bound, "").status)
	p.must(http.StatusNoContent, p.call("DELETE", path+"/"+added.ID, o.bound, ""), nil)
	assert.Equal(t, http.StatusUnauthorized, post(added.Secret))
	assert.Equal(t, http.StatusAccepted, post(next.Secret))
	assert.Equal(t, http.StatusNotFound, p.call("POST", path, p.key(o.all, `{"namespace":"staging","name":"elsewhere","permissions":["*"]}`), `{}`).status, "another namespace's")
}

// Where TLS ends in the API, the client's certificate admits; a header that a
// proxy might set admits nobody.
func TestClientCertificatesAtTheDoor(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, func(c *api.Config) { c.ClientCertificates = true })
	o := p.tenant("acme")
	o.deploy(billing)
	served := httptest.NewUnstartedServer(p.server.Config.Handler)
	served.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	served.StartTLS()
	t.Cleanup(served.Close)
	issue := func() tls.Certificate {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "shop"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		require.NoError(t, err)
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	}
	mine, foreign := issue(), issue()
	sum := sha256.Sum256(mine.Certificate[0])
	source := o.create(`{"name":"shop","flow":"billing","verifier":"mtls","mtls":{"fingerprints":["` + hex.EncodeToString(sum[:]) + `"]},"identity":{"by":"each"}}`)
	send := func(certificates ...tls.Certificate) int {
		transport := served.Client().Transport.(*http.Transport).Clone()
		transport.TLSClientConfig.Certificates = certificates
		defer transport.CloseIdleConnections()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, served.URL+"/v1/hooks/"+source.ID, strings.NewReader("{}"))
		require.NoError(t, err)
		req.Header.Set("X-Forwarded-Client-Cert", "Hash="+hex.EncodeToString(sum[:]))
		r, err := (&http.Client{Transport: transport}).Do(req)
		require.NoError(t, err)
		require.NoError(t, r.Body.Close())
		return r.StatusCode
	}
	assert.Equal(t, http.StatusUnauthorized, send())
	assert.Equal(t, http.StatusUnauthorized, send(foreign))
	assert.Equal(t, http.StatusAccepted, send(mine))
	assert.Equal(t, http.StatusAccepted, send(mine))
	assert.Equal(t, http.StatusUnauthorized, p.call("POST", "/v1/hooks/"+source.ID, "", "{}").status, "without TLS")
	assert.Equal(t, 2, p.events(o.org), "each delivery is an event where the source says so")
}

// Refused messages leave a count in the audit log, and nothing else.
func TestRefusedEventsAreCounted(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, func(c *api.Config) { c.Limits.Refusals = 10 * time.Millisecond })
	o := p.tenant("acme")
	o.deploy(billing)
	source, _ := o.source("shop", "billing")
	for range 20 {
		require.Equal(t, http.StatusUnauthorized, p.call("POST", "/v1/hooks/"+source, "", `{}`).status)
	}
	counted := func() int {
		var log struct {
			Items []struct {
				Target string
				Detail struct{ Count int }
			}
		}
		p.must(http.StatusOK, p.call("GET", "/v1/audit?action=event.refuse", o.all, ""), &log)
		n := 0
		for _, item := range log.Items {
			require.Equal(t, source, item.Target)
			n += item.Detail.Count
		}
		return n
	}
	require.Eventually(t, func() bool { return counted() == 20 }, 10*time.Second, 10*time.Millisecond)
	assert.Zero(t, p.events(o.org))
}
