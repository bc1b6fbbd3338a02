package broker

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strings"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal"
)

// minSecret is the shortest value that can be told apart in a reply at all.
const minSecret = 4

// partial are headers with which a connector could have a reply cut into
// pieces too small to recognise a credential in.
var partial = []string{"Range", "If-Range", "Request-Range"}

// inject puts the credential into the request and returns all that must be
// taken out of the reply. Its errors never quote a value (invariant 10).
func (d *draft) inject(injection seal.Injection, values map[string]schema.Secret) ([]secret, error) {
	for name := range d.header {
		if slices.Contains(partial, likened(name)) {
			return nil, schema.Errorf(schema.CodeRefused, "the header %s is not allowed where a credential is added", likened(name)).
				At(headerPointer(name)).Advise("Ask for the whole of it: a credential cannot be recognised in a part of a reply.")
		}
	}
	var secrets []secret
	for name, value := range values {
		text := string(value.Reveal())
		if text == "" || name == "username" && injection.Scheme == seal.SchemeBasic {
			continue
		}
		if len(strings.TrimSpace(text)) < minSecret {
			return nil, schema.Errorf(schema.CodeRefused, "a value of the credential is shorter than %d bytes and could not be taken out of replies", minSecret).
				Advise("Use a longer one.")
		}
		secrets = append(secrets, secret{text: text})
	}
	switch injection.Scheme {
	case seal.SchemeBearer:
		token, err := need(values, "token")
		if err != nil {
			return nil, err
		}
		return secrets, d.put("Authorization", or(injection.Prefix, "Bearer ")+token)
	case seal.SchemeHeader:
		value, err := need(values, "value")
		if err != nil {
			return nil, err
		}
		return secrets, d.put(or(injection.Name, "Authorization"), injection.Prefix+value)
	case seal.SchemeBasic:
		return d.injectBasic(secrets, values)
	case seal.SchemeQuery:
		value, err := need(values, "value")
		if err != nil {
			return nil, err
		}
		return secrets, d.injectQuery(injection.Name, injection.Prefix+value)
	default:
		return nil, schema.Errorf(schema.CodeRefused, "the credential's injection scheme is not known")
	}
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
func (d *draft) injectBasic(secrets []secret, values map[string]schema.Secret) ([]secret, error) {
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
