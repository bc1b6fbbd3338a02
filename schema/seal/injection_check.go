package seal

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/tenonhq/tenon/schema"
)

// taken are headers that belong to the connection or decide where a request
// goes; a credential is never one of them.
var taken = []string{
	"host", "connection", "content-length", "content-type", "transfer-encoding", "te", "trailer", "upgrade", "expect", "keep-alive",
	"proxy-connection", "accept-encoding", "cookie", "forwarded", "x-forwarded-host",
}

func checkInjection(in Injection) error {
	if err := checkMembers(in); err != nil {
		return err
	}
	switch in.Scheme {
	case SchemeHeader:
		return checkHeader(in.Name, in.Prefix, "")
	case SchemeQuery:
		if in.Name == "" || len(in.Name) > 128 || strings.ContainsFunc(in.Name, notToken) {
			return schema.Errorf(schema.CodeInvalid, "the scheme needs the name of a query parameter").At("/inject/name")
		}
	case SchemeOAuth2:
		if in.Name != "" {
			if err := checkHeader(in.Name, in.Prefix, ""); err != nil {
				return err
			}
		}
		return checkOAuth2(*in.OAuth2)
	case SchemeHMAC:
		if err := checkHeader(in.Name, in.Prefix, ""); err != nil {
			return err
		}
		return in.HMAC.check(in.Name)
	case SchemeSigV4:
		return checkSigV4(*in.SigV4)
	case SchemeFree:
		return checkPlacements(in.Headers)
	}
	return nil
}

// checkMembers refuses a scheme that lacks what it needs, and members of another
// scheme: they would look as if they bound something.
func checkMembers(in Injection) error {
	if !slices.Contains(Schemes(), in.Scheme) {
		return schema.Errorf(schema.CodeInvalid, "unknown scheme").At("/inject/scheme").
			Advise("Use one of " + strings.Join(Schemes(), ", ") + ".")
	}
	named := in.Scheme == SchemeHeader || in.Scheme == SchemeQuery || in.Scheme == SchemeHMAC
	for _, m := range []struct {
		at          string
		given, wish bool
		need        bool
	}{
		{"/inject/name", in.Name != "", named || in.Scheme == SchemeOAuth2, named},
		{"/inject/prefix", in.Prefix != "", in.Scheme == SchemeHeader || in.Scheme == SchemeHMAC || in.Scheme == SchemeOAuth2 && in.Name != "", false},
		{"/inject/oauth2", in.OAuth2 != nil, in.Scheme == SchemeOAuth2, true},
		{"/inject/hmac", in.HMAC != nil, in.Scheme == SchemeHMAC, true},
		{"/inject/sigv4", in.SigV4 != nil, in.Scheme == SchemeSigV4, true},
		{"/inject/headers", len(in.Headers) > 0, in.Scheme == SchemeFree, true},
	} {
		if m.given && !m.wish {
			return schema.Errorf(schema.CodeInvalid, "the scheme %s has no such member", in.Scheme).At(m.at)
		}
		if !m.given && m.wish && m.need {
			return schema.Errorf(schema.CodeInvalid, "the scheme %s needs this", in.Scheme).At(m.at)
		}
	}
	return nil
}

// checkHeader checks a header that carries something of a credential. Below is
// where name and prefix stand under "/inject".
func checkHeader(name, prefix, below string) error {
	if name == "" || len(name) > 128 || strings.ContainsFunc(name, notToken) {
		return schema.Errorf(schema.CodeInvalid, "not the name of a header").At("/inject" + below + "/name")
	}
	// Some servers take an underscore for a dash.
	if slices.Contains(taken, strings.ReplaceAll(strings.ToLower(name), "_", "-")) {
		return schema.Errorf(schema.CodeInvalid, "the header cannot carry a credential").At("/inject" + below + "/name")
	}
	if strings.ContainsFunc(prefix, unicode.IsControl) || len(prefix) > 128 {
		return schema.Errorf(schema.CodeInvalid, "not a prefix").At("/inject" + below + "/prefix")
	}
	return nil
}

// reservedParams are the parameters of a token request that are not free.
var reservedParams = []string{
	"grant_type", "client_id", "client_secret", "refresh_token", "scope", "code", "redirect_uri", "username", "password", "assertion",
	"client_assertion", "client_assertion_type",
}

func checkOAuth2(o OAuth2) error {
	if o.Grant != GrantClientCredentials && o.Grant != GrantRefreshToken {
		return schema.Errorf(schema.CodeInvalid, "unknown grant").At("/inject/oauth2/grant").Advise("Use client_credentials or refresh_token.")
	}
	if !validTokenURL(o.TokenURL) {
		return schema.Errorf(schema.CodeInvalid, "not the address of a token endpoint").At("/inject/oauth2/token_url").
			Advise(`Write "https://host/path" in lower case, without user, query or fragment.`)
	}
	switch {
	case o.ClientAuth != "" && o.ClientAuth != ClientAuthBasic && o.ClientAuth != ClientAuthBody && o.ClientAuth != ClientAuthNone,
		o.ClientAuth == ClientAuthNone && o.Grant == GrantClientCredentials:
		return schema.Errorf(schema.CodeInvalid, "the client cannot authenticate so").At("/inject/oauth2/client_auth").
			Advise("Use basic or body; none is for public clients with a refresh token.")
	case o.Grant == GrantRefreshToken && len(o.Scopes) > 0:
		return schema.Errorf(schema.CodeInvalid, "a refresh token has its scopes already").At("/inject/oauth2/scopes")
	case o.Grant == GrantRefreshToken && len(o.Params) > 0:
		return schema.Errorf(schema.CodeInvalid, "parameters are for client_credentials").At("/inject/oauth2/params")
	case len(o.Scopes) > 64 || slices.ContainsFunc(o.Scopes, func(s string) bool { return s == "" || len(s) > 256 || strings.ContainsFunc(s, notScope) }):
		return schema.Errorf(schema.CodeInvalid, "not scopes").At("/inject/oauth2/scopes")
	case len(o.Params) > 16:
		return schema.Errorf(schema.CodeTooLarge, "more than 16 parameters").At("/inject/oauth2/params")
	}
	for name, value := range o.Params {
		if name == "" || len(name) > 64 || strings.ContainsFunc(name, notToken) || slices.Contains(reservedParams, strings.ToLower(name)) ||
			len(value) > 1024 || strings.ContainsFunc(value, unicode.IsControl) {
			return schema.Errorf(schema.CodeInvalid, "a parameter is not allowed, or is not one").At("/inject/oauth2/params")
		}
	}
	if o.CA != "" {
		return checkCA(o.CA, "/inject/oauth2/ca")
	}
	return nil
}

// validTokenURL accepts an address in one spelling only, so that the host that
// is bound is the host that is called.
func validTokenURL(text string) bool {
	rest, ok := strings.CutPrefix(text, "https://")
	host, path, slash := strings.Cut(rest, "/")
	if !ok || !slash || len(text) > 1024 || !validHost(host) || strings.ContainsAny(path, "%?#;\\ ") || strings.Contains("/"+path, "//") || strings.Contains(path, "..") {
		return false
	}
	u, err := url.Parse(text)
	return err == nil && u.User == nil && u.Host == host && u.String() == text
}

func notScope(r rune) bool { return r <= ' ' || r >= 0x7f || r == '"' || r == '\\' }

func (h *HMAC) usesKeyID() bool { return h.KeyIDHeader != "" || slices.Contains(h.Signed, PartKeyID) }

func (h *HMAC) check(signature string) error {
	at := "/inject/hmac"
	for _, m := range []struct {
		name, value string
		allowed     []string
	}{
		{"hash", h.Hash, []string{"sha256", "sha384", "sha512"}},
		{"encoding", h.Encoding, []string{"hex", "base64", "base64url"}},
		{"key_encoding", h.KeyEncoding, []string{"", "text", "hex", "base64"}},
		{"timestamp_format", h.TimestampFormat, []string{"", "unix", "unix_ms", "rfc3339"}},
	} {
		if !slices.Contains(m.allowed, m.value) {
			return schema.Errorf(schema.CodeInvalid, "unknown %s", m.name).At(at + "/" + m.name).
				Advise("Use one of " + strings.TrimPrefix(strings.Join(m.allowed, ", "), ", ") + ".")
		}
	}
	parts := []string{PartMethod, PartHost, PartPath, PartQuery, PartTarget, PartTime, PartKeyID, PartBody, PartDigest}
	if len(h.Signed) == 0 || len(h.Signed) > 16 {
		return schema.Errorf(schema.CodeInvalid, "say what is signed").At(at + "/signed").Advise("Use some of " + strings.Join(parts, ", ") + ".")
	}
	for i, part := range h.Signed {
		if !slices.Contains(parts, part) {
			return schema.Errorf(schema.CodeInvalid, "unknown part").At(at + "/signed/" + strconv.Itoa(i)).Advise("Use some of " + strings.Join(parts, ", ") + ".")
		}
	}
	if len(h.Separator) > 16 {
		return schema.Errorf(schema.CodeInvalid, "not a separator").At(at + "/separator")
	}
	if slices.Contains(h.Signed, PartTime) != (h.TimestampHeader != "") {
		return schema.Errorf(schema.CodeInvalid, "a timestamp is both sent and signed, or neither").At(at + "/timestamp_header")
	}
	used := []string{strings.ToLower(signature)}
	for name, header := range map[string]string{"timestamp_header": h.TimestampHeader, "key_id_header": h.KeyIDHeader} {
		if header == "" {
			continue
		}
		if checkHeader(header, "", "") != nil || slices.Contains(used, strings.ToLower(header)) {
			return schema.Errorf(schema.CodeInvalid, "not a header of its own").At(at + "/" + name)
		}
		used = append(used, strings.ToLower(header))
	}
	return nil
}

func checkSigV4(s SigV4) error {
	for name, value := range map[string]string{"region": s.Region, "service": s.Service} {
		if value == "" || len(value) > 64 || strings.ContainsFunc(value, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
		}) {
			return schema.Errorf(schema.CodeInvalid, "not a %s", name).At("/inject/sigv4/" + name).
				Advise(`Such as region "eu-central-1" and service "execute-api".`)
		}
	}
	return nil
}

func checkPlacements(headers []Placement) error {
	if len(headers) > 16 {
		return schema.Errorf(schema.CodeTooLarge, "more than 16 headers").At("/inject/headers")
	}
	seen := map[string]bool{}
	for i, h := range headers {
		below := "/headers/" + strconv.Itoa(i)
		if err := checkHeader(h.Name, h.Prefix, below); err != nil {
			return err
		}
		if seen[strings.ToLower(h.Name)] {
			return schema.Errorf(schema.CodeInvalid, "the header is there twice").At("/inject" + below + "/name")
		}
		seen[strings.ToLower(h.Name)] = true
		if h.Value == "" || len(h.Value) > 64 || strings.ContainsFunc(h.Value, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '_'
		}) {
			return schema.Errorf(schema.CodeInvalid, "not the name of a value").At("/inject" + below + "/value").
				Advise("Use lower-case letters, digits and underscores.")
		}
	}
	return nil
}

func notToken(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_.~!$&'*+^`|", r)
}
