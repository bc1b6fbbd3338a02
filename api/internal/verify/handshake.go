package verify

import (
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/tenonhq/tenon/schema/config"
)

// maxChallenge bounds what is answered of what a vendor asked, in bytes.
const maxChallenge = 1024

const plainText = "text/plain; charset=utf-8"

// slackChallenge answers Slack's url_verification, which is signed like an event.
func slackChallenge(body []byte) *Answer {
	var asked struct {
		Type      string `json:"type"`
		Challenge string `json:"challenge"`
	}
	if json.Unmarshal(body, &asked) != nil || asked.Type != "url_verification" || !challenge(asked.Challenge) {
		return nil
	}
	return &Answer{ContentType: plainText, Body: []byte(asked.Challenge)}
}

// metaChallenge answers Meta's GET, which proves itself by the verify token.
func metaChallenge(source config.Source, r Request) (*Answer, bool, error) {
	if r.Method != http.MethodGet {
		return nil, false, nil
	}
	query, err := url.ParseQuery(r.Query)
	if err != nil || len(query["hub.mode"]) != 1 || len(query["hub.verify_token"]) != 1 || len(query["hub.challenge"]) != 1 {
		return nil, true, refuse("the handshake is not complete")
	}
	known := source.VerifyToken != "" && oneOf([]string{source.VerifyToken}, query.Get("hub.verify_token"))
	if !known || query.Get("hub.mode") != "subscribe" || !challenge(query.Get("hub.challenge")) {
		return nil, true, refuse("the handshake does not prove itself")
	}
	return &Answer{ContentType: plainText, Body: []byte(query.Get("hub.challenge"))}, true, nil
}

// microsoftValidation answers the validationToken of Microsoft Graph. Nothing
// proves who asks: the vendor signs nothing here, and the answer tells only
// what was asked.
func microsoftValidation(_ config.Source, r Request) (*Answer, bool, error) {
	if r.Query == "" {
		return nil, false, nil
	}
	query, err := url.ParseQuery(r.Query)
	if err != nil || len(query["validationToken"]) != 1 || len(query) != 1 || r.Method != http.MethodPost ||
		!challenge(query.Get("validationToken")) {
		return nil, true, refuse("the handshake is not usable")
	}
	return &Answer{ContentType: plainText, Body: []byte(query.Get("validationToken"))}, true, nil
}

// challenge says whether a vendor's challenge is text that can be sent back.
func challenge(text string) bool {
	return text != "" && len(text) <= maxChallenge && visible(text, "<>")
}
