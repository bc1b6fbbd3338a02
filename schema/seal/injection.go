package seal

// The schemes of injection: how a credential proves itself to a system.
const (
	// SchemeBearer sends "Authorization: Bearer TOKEN".
	SchemeBearer = "bearer"
	// SchemeHeader sends the value in a header, after a prefix.
	SchemeHeader = "header"
	// SchemeQuery sends the value as a query parameter.
	SchemeQuery = "query"
	// SchemeBasic sends user name and password (RFC 7617).
	SchemeBasic = "basic"
	// SchemeOAuth2 has the cell fetch access tokens (RFC 6749) and send them.
	SchemeOAuth2 = "oauth2"
	// SchemeHMAC signs each request with a shared key, which is never sent.
	SchemeHMAC = "hmac"
	// SchemeSigV4 signs each request as AWS Signature Version 4 has it.
	SchemeSigV4 = "sigv4"
	// SchemeMTLS shows a client certificate in the TLS handshake.
	SchemeMTLS = "mtls"
	// SchemeFree sends named values in headers that the use lists.
	SchemeFree = "free"
)

// Schemes are all schemes.
func Schemes() []string {
	return []string{
		SchemeBearer, SchemeHeader, SchemeQuery, SchemeBasic, SchemeOAuth2, SchemeHMAC, SchemeSigV4, SchemeMTLS, SchemeFree,
	}
}

// Injection is how the credential gets into a request. It is sealed in with the
// values. A member that the scheme does not have is refused.
type Injection struct {
	// Scheme is one of [Schemes].
	Scheme string `json:"scheme"`
	// Name of the header (header, hmac; for oauth2 where it is not
	// "Authorization: Bearer") or query parameter (query).
	Name string `json:"name,omitempty"`
	// Prefix before the value in a header (header, hmac, oauth2 with a name).
	Prefix string  `json:"prefix,omitempty"`
	OAuth2 *OAuth2 `json:"oauth2,omitempty"`
	HMAC   *HMAC   `json:"hmac,omitempty"`
	SigV4  *SigV4  `json:"sigv4,omitempty"`
	// Headers are the places of the scheme free. Nothing but the use places a
	// value: a connector that chose the place could have it put where the
	// system shows it again in another form.
	Headers []Placement `json:"headers,omitempty"`
}

// The grants of OAuth 2.
const (
	GrantClientCredentials = "client_credentials"
	GrantRefreshToken      = "refresh_token"
)

// How an OAuth 2 client authenticates at the token endpoint.
const (
	// ClientAuthBasic is the default: an Authorization header.
	ClientAuthBasic = "basic"
	// ClientAuthBody puts client_id and client_secret into the form.
	ClientAuthBody = "body"
	// ClientAuthNone is a public client: it has no secret.
	ClientAuthNone = "none"
)

// OAuth2 says how the cell fetches access tokens. Tokens are fetched and kept by
// the cell itself; no connector sees one.
type OAuth2 struct {
	// Grant is client_credentials or refresh_token.
	Grant string `json:"grant"`
	// TokenURL is "https://host[:port]/path". Client secret and refresh token go
	// to this host, and nothing else does.
	TokenURL string `json:"token_url"`
	// ClientAuth is basic (the default), body, or none.
	ClientAuth string `json:"client_auth,omitempty"`
	// Scopes that are asked for with client_credentials.
	Scopes []string `json:"scopes,omitempty"`
	// Params are more parameters of client_credentials, such as audience.
	// They are not secret.
	Params map[string]string `json:"params,omitempty"`
	// CA is a private authority of the token endpoint, in PEM; empty for the
	// system's.
	CA string `json:"ca,omitempty"`
}

// The parts of a request that an HMAC can cover.
const (
	PartMethod = "method" // in upper case
	PartHost   = "host"   // as in the Host header
	PartPath   = "path"   // as sent, escaped
	PartQuery  = "query"  // as sent, escaped, without the question mark
	PartTarget = "target" // path, and "?" and query where there is one
	PartTime   = "timestamp"
	PartKeyID  = "key_id"
	PartBody   = "body"
	// PartDigest is SHA-256 of the body in lower-case hexadecimal.
	PartDigest = "body_sha256"
)

// HMAC says how a request is signed: the signature goes into the header that the
// injection names, after its prefix.
type HMAC struct {
	// Hash is sha256, sha384 or sha512.
	Hash string `json:"hash"`
	// Encoding of the signature: hex, base64 or base64url.
	Encoding string `json:"encoding"`
	// KeyEncoding says how the secret is written: text (the default), hex or base64.
	KeyEncoding string `json:"key_encoding,omitempty"`
	// Signed are the parts that the signature covers, in their order: method,
	// host, path, query, target, timestamp, key_id, body, body_sha256.
	Signed []string `json:"signed"`
	// Separator stands between the parts.
	Separator string `json:"separator,omitempty"`
	// TimestampHeader carries the time; empty for none.
	TimestampHeader string `json:"timestamp_header,omitempty"`
	// TimestampFormat is unix (seconds, the default), unix_ms or rfc3339 (UTC).
	TimestampFormat string `json:"timestamp_format,omitempty"`
	// KeyIDHeader carries the value key_id; empty for none.
	KeyIDHeader string `json:"key_id_header,omitempty"`
}

// SigV4 is what a signature of AWS is bound to.
type SigV4 struct {
	// Region such as "eu-central-1".
	Region string `json:"region"`
	// Service is its signing name, such as "s3", "execute-api" or "sqs".
	Service string `json:"service"`
}

// Placement is a header that carries one of the named values.
type Placement struct {
	// Name of the header.
	Name string `json:"name"`
	// Prefix before the value.
	Prefix string `json:"prefix,omitempty"`
	// Value is the name of the value: lower-case letters, digits and underscores.
	Value string `json:"value"`
}

// ValueNames are the values that a credential of the injection has: those it
// must have, and those it may have.
func ValueNames(in Injection) (required, optional []string) {
	switch in.Scheme {
	case SchemeBearer:
		return []string{"token"}, nil
	case SchemeHeader, SchemeQuery:
		return []string{"value"}, nil
	case SchemeBasic:
		return []string{"username", "password"}, nil
	case SchemeOAuth2:
		return oauth2Values(in.OAuth2), nil
	case SchemeHMAC:
		if in.HMAC != nil && in.HMAC.usesKeyID() {
			return []string{"key_id", "secret"}, nil
		}
		return []string{"secret"}, nil
	case SchemeSigV4:
		return []string{"access_key_id", "secret_access_key"}, []string{"session_token"}
	case SchemeMTLS:
		return []string{"certificate", "private_key"}, nil
	case SchemeFree:
		return freeValues(in.Headers), nil
	}
	return nil, nil
}

func oauth2Values(o *OAuth2) []string {
	names := []string{"client_id"}
	if o != nil && o.ClientAuth != ClientAuthNone {
		names = append(names, "client_secret")
	}
	if o != nil && o.Grant == GrantRefreshToken {
		names = append(names, "refresh_token")
	}
	return names
}

func freeValues(headers []Placement) []string {
	var names []string
	seen := map[string]bool{}
	for _, h := range headers {
		if !seen[h.Value] {
			seen[h.Value] = true
			names = append(names, h.Value)
		}
	}
	return names
}
