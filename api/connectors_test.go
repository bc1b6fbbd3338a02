package api_test

import (
	"encoding/json"
	"net/http"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/api"
	"github.com/tenonhq/tenon/plugins/sdk"
)

// TestConnectorsFixHowTheyAuthenticate: a connection authenticates in a way that
// its connector names, and cannot change what the connector fixes of it.
func TestConnectorsFixHowTheyAuthenticate(t *testing.T) {
	t.Parallel()
	p := newPlatform(t, func(c *api.Config) {
		c.Connectors = []sdk.Manifest{{
			Name: "queue", Version: "1.0.0", Title: "Queue", Auth: []sdk.AuthScheme{
				{Scheme: sdk.AuthSigV4, Title: "AWS", Inject: json.RawMessage(`{"sigv4":{"service":"sqs"}}`)},
				{Scheme: sdk.AuthOAuth2, Title: "OAuth 2", Inject: json.RawMessage(`{"oauth2":{"token_url":"https://id.example.com/token"}}`)},
				{Scheme: sdk.AuthHeader, Title: "Key", Inject: json.RawMessage(`{"name":"X-Key"}`)},
				{Scheme: sdk.AuthHeader, Title: "Old key", Inject: json.RawMessage(`{"name":"X-Old-Key"}`)},
			},
		}}
	})
	o := p.tenant("acme")
	made := 0
	create := func(inject string) reply {
		made++
		return p.call("POST", "/v1/connections", o.bound, `{"name":"c`+strconv.Itoa(made)+`","connector":"queue","use":{"hosts":["q.example.com"],"inject":`+inject+`}}`)
	}
	for _, good := range []string{
		`{"scheme":"sigv4","sigv4":{"service":"sqs","region":"eu-central-1"}}`, `{"scheme":"header","name":"X-Old-Key"}`,
		`{"scheme":"oauth2","oauth2":{"grant":"client_credentials","token_url":"https://id.example.com/token","scopes":["a"]}}`,
	} {
		require.Equal(t, http.StatusCreated, create(good).status, good)
	}
	for inject, at := range map[string]string{
		`{"scheme":"bearer"}`: "/use/inject/scheme", `{"scheme":"header","name":"X-Evil"}`: "/use/inject/name",
		`{"scheme":"sigv4","sigv4":{"service":"s3","region":"eu-central-1"}}`:                                  "/use/inject/sigv4/service",
		`{"scheme":"oauth2","oauth2":{"grant":"client_credentials","token_url":"https://evil.example/token"}}`: "/use/inject/oauth2/token_url",
	} {
		r := create(inject)
		require.Equal(t, http.StatusUnprocessableEntity, r.status, inject)
		assert.Equal(t, at, r.problem(t).Pointer)
	}
	var listed api.List[api.Connector]
	p.must(http.StatusOK, p.call("GET", "/v1/connectors", o.bound, ""), &listed)
	require.Len(t, listed.Items, 1)
	assert.JSONEq(t, `{"sigv4":{"service":"sqs"}}`, string(listed.Items[0].Auth[0].Inject))
}
