package broker

import (
	"crypto/tls"
	"encoding/base64"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal"
)

// minSecret is the shortest value that can be told apart in a reply at all.
const minSecret = 4

// partial are headers with which a connector could have a reply cut into
// pieces too small to recognise a credential in.
var partial = []string{"Range", "If-Range", "Request-Range"}

// injected is what the credential adds to a request beside its headers.
type injected struct {
	// secrets are all that must be taken out of the reply.
	secrets []secret
	// certificate is shown in the TLS handshake; nil for none.
	certificate *tls.Certificate
}

// inject puts the credential into the request. It is the last change to it: what
// a signature covers is what is sent. Its errors never quote a value
// (invariant 10).
func (d *draft) inject(injection seal.Injection, values map[string]schema.Secret, now time.Time) (injected, error) {
	for name := range d.header {
		if slices.Contains(partial, likened(name)) {
			return injected{}, schema.Errorf(schema.CodeRefused, "the header %s is not allowed where a credential is added", likened(name)).
				At(headerPointer(name)).Advise("Ask for the whole of it: a credential cannot be recognised in a part of a reply.")
		}
	}
	if injection.Scheme == seal.SchemeMTLS {
		return d.injectCertificate(values)
	}
	secrets, err := secretsOf(injection, values)
	if err != nil {
		return injected{}, err
	}
	var derived []secret
	switch injection.Scheme {
	case seal.SchemeBearer:
		err = d.carry("Authorization", or(injection.Prefix, "Bearer "), "token", values)
	case seal.SchemeHeader:
		err = d.carry(or(injection.Name, "Authorization"), injection.Prefix, "value", values)
	case seal.SchemeOAuth2:
		prefix := injection.Prefix
		if injection.Name == "" {
			prefix = or(prefix, "Bearer ")
		}
		err = d.carry(or(injection.Name, "Authorization"), prefix, AccessToken, values)
	case seal.SchemeFree:
		for _, h := range injection.Headers {
			if err = d.carry(h.Name, h.Prefix, h.Value, values); err != nil {
				break
			}
		}
	case seal.SchemeQuery:
		var value string
		if value, err = need(values, "value"); err == nil {
			err = d.injectQuery(injection.Name, injection.Prefix+value)
		}
	case seal.SchemeBasic:
		derived, err = d.injectBasic(values)
	case seal.SchemeHMAC:
		derived, err = d.signHMAC(injection, values, now)
	case seal.SchemeSigV4:
		derived, err = d.signSigV4(injection, values, now)
	default:
		err = schema.Errorf(schema.CodeRefused, "the credential's injection scheme is not known")
	}
	return injected{secrets: append(secrets, derived...)}, err
}

// AccessToken names the value that the scheme oauth2 sends. An Opener fetches
// it; the other values of the credential are there to be taken out of replies.
const AccessToken = "access_token"

// secretsOf are the values as what must not come back. Identifiers may stand in
// replies by right when they are short; a long one is taken out.
func secretsOf(injection seal.Injection, values map[string]schema.Secret) ([]secret, error) {
	var secrets []secret
	for name, value := range values {
		text := string(value.Reveal())
		switch {
		case text == "", name == "username" && injection.Scheme == seal.SchemeBasic:
		case injection.Scheme != seal.SchemeFree && (name == "client_id" || name == "key_id"):
			if len(text) >= 8 {
				secrets = append(secrets, secret{text: text, word: len(text) < 16})
			}
		case len(strings.TrimSpace(text)) < minSecret:
			return nil, schema.Errorf(schema.CodeRefused, "a value of the credential is shorter than %d bytes and could not be taken out of replies", minSecret).
				Advise("Use a longer one.")
		default:
			secrets = append(secrets, secret{text: text})
		}
	}
	return secrets, nil
}

// carry puts a value into a header.
func (d *draft) carry(header, prefix, name string, values map[string]schema.Secret) error {
	value, err := need(values, name)
	if err != nil {
		return err
	}
	return d.put(header, prefix+value)
}

func need(values map[string]schema.Secret, name string) (string, error) {
	value, found := values[name]
	if !found || len(value.Reveal()) == 0 {
		return "", schema.Errorf(schema.CodeRefused, "the credential has no %s", name).
			Advise("Save the credential again, with all values of its scheme.")
	}
	return string(value.Reveal()), nil
}

// injectBasic also decides what a user name is. Alone it is the secret itself
// (an API key with an empty password); beside a password it is an identifier
// that may stand in replies by right when it is short, and is taken out where
// it stands as a word of its own when it is long.
func (d *draft) injectBasic(values map[string]schema.Secret) ([]secret, error) {
	var secrets []secret
	username, password := string(values["username"].Reveal()), string(values["password"].Reveal())
	switch {
	case username == "" && password == "":
		return nil, schema.Errorf(schema.CodeRefused, "the credential has neither a username nor a password")
	case strings.Contains(username, ":"):
		return nil, schema.Errorf(schema.CodeRefused, "the credential's username holds a colon, which basic authentication cannot carry")
	case password == "" && len(username) < minSecret:
		return nil, schema.Errorf(schema.CodeRefused, "the credential's username is shorter than %d bytes and could not be taken out of replies", minSecret)
	case password == "" || len(username) >= 16:
		secrets = append(secrets, secret{text: username})
	case len(username) >= 8:
		secrets = append(secrets, secret{text: username, word: true})
	}
	pair := username + ":" + password
	encoded := base64.StdEncoding.EncodeToString([]byte(pair))
	secrets = append(secrets, secret{text: pair}, secret{text: encoded})
	return secrets, d.put("Authorization", "Basic "+encoded)
}

func (d *draft) injectQuery(name, value string) error {
	if name == "" {
		return schema.Errorf(schema.CodeRefused, "the credential names no query parameter")
	}
	for _, piece := range strings.FieldsFunc(d.query, func(r rune) bool { return r == '&' || r == ';' }) {
		key, _, _ := strings.Cut(piece, "=")
		if decoded, err := url.QueryUnescape(key); err != nil || strings.EqualFold(decoded, name) {
			return schema.Errorf(schema.CodeRefused, "the request's query sets the parameter that carries the credential, or cannot be read").At("/url")
		}
	}
	if d.query != "" {
		d.query += "&"
	}
	d.query += url.QueryEscape(name) + "=" + url.QueryEscape(value)
	return nil
}
