package broker_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/plugins/broker"
	"github.com/tenonhq/tenon/plugins/sdk"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal"
)

// kind is a credential of one scheme, and what a real system makes of a request
// that carries it.
type kind struct {
	inject seal.Injection
	values map[string]string
	// valid tells, at the server, whether the request authenticates.
	valid func(r *http.Request, body []byte) bool
	// derived are secrets that are made for the request and sent with it.
	derived func(r *http.Request) []string
}

const (
	hmacKey = "canary-hmac-shared-key-0123456789"
	awsKey  = "canary/aws+secret/key/of/forty/letters01"
	awsID   = "AKIACANARYCANARY1234"
	session = "canary-session-token//with+signs=="
)

func kinds() map[string]kind {
	return map[string]kind{
		"bearer": {
			inject: seal.Injection{Scheme: seal.SchemeBearer}, values: map[string]string{"token": token},
			valid: func(r *http.Request, _ []byte) bool { return r.Header.Get("Authorization") == "Bearer "+token },
		},
		"header": {
			inject: seal.Injection{Scheme: seal.SchemeHeader, Name: "X-Api-Key"}, values: map[string]string{"value": token},
			valid: func(r *http.Request, _ []byte) bool { return r.Header.Get("X-Api-Key") == token },
		},
		"query": {
			inject: seal.Injection{Scheme: seal.SchemeQuery, Name: "key"}, values: map[string]string{"value": token},
			valid: func(r *http.Request, _ []byte) bool { return r.URL.Query().Get("key") == token },
		},
		"basic": {
			inject: seal.Injection{Scheme: seal.SchemeBasic}, values: map[string]string{"username": "shop", "password": token},
			valid: func(r *http.Request, _ []byte) bool { _, p, _ := r.BasicAuth(); return p == token },
			derived: func(r *http.Request) []string {
				return []string{strings.TrimPrefix(r.Header.Get("Authorization"), "Basic ")}
			},
		},
		"oauth2": {
			inject: seal.Injection{Scheme: seal.SchemeOAuth2, OAuth2: &seal.OAuth2{Grant: "refresh_token", TokenURL: "https://id.example.com/t"}},
			values: map[string]string{
				broker.AccessToken: token, "client_id": "canary-client-id-0001", "client_secret": "canary-client-secret", "refresh_token": "canary-refresh-token",
			},
			valid: func(r *http.Request, _ []byte) bool { return r.Header.Get("Authorization") == "Bearer "+token },
		},
		"oauth2 in a header of its own": {
			inject: seal.Injection{Scheme: seal.SchemeOAuth2, Name: "X-Access-Token", OAuth2: &seal.OAuth2{Grant: "client_credentials"}},
			values: map[string]string{broker.AccessToken: token},
			valid: func(r *http.Request, _ []byte) bool {
				return r.Header.Get("X-Access-Token") == token && r.Header.Get("Authorization") == ""
			},
		},
		"hmac": {
			inject: seal.Injection{Scheme: seal.SchemeHMAC, Name: "X-Signature", Prefix: "v1=", HMAC: &seal.HMAC{
				Hash: "sha256", Encoding: "hex", Separator: "\n", TimestampHeader: "X-Timestamp", KeyIDHeader: "X-Key",
				Signed: []string{"method", "host", "target", "timestamp", "key_id", "body_sha256"},
			}},
			values: map[string]string{"secret": hmacKey, "key_id": "canary-key-id-00001"},
			valid: func(r *http.Request, body []byte) bool {
				sum := sha256.Sum256(body)
				mac := hmac.New(sha256.New, []byte(hmacKey))
				_, _ = io.WriteString(mac, strings.Join([]string{
					r.Method, r.Host, r.RequestURI, r.Header.Get("X-Timestamp"), r.Header.Get("X-Key"), hex.EncodeToString(sum[:]),
				}, "\n"))
				at, err := strconv.ParseInt(r.Header.Get("X-Timestamp"), 10, 64)
				return err == nil && time.Since(time.Unix(at, 0)).Abs() < time.Minute && r.Header.Get("X-Signature") == "v1="+hex.EncodeToString(mac.Sum(nil))
			},
			derived: func(r *http.Request) []string {
				signature := strings.TrimPrefix(r.Header.Get("X-Signature"), "v1=")
				raw, _ := hex.DecodeString(signature)
				return []string{signature, string(raw)}
			},
		},
		"sigv4": {
			inject: seal.Injection{Scheme: seal.SchemeSigV4, SigV4: &seal.SigV4{Region: "eu-central-1", Service: "execute-api"}},
			values: map[string]string{"access_key_id": awsID, "secret_access_key": awsKey, "session_token": session},
			valid:  awsAccepts,
			derived: func(r *http.Request) []string {
				_, signature, _ := strings.Cut(r.Header.Get("Authorization"), "Signature=")
				return []string{signature}
			},
		},
		"free": {
			inject: seal.Injection{Scheme: seal.SchemeFree, Headers: []seal.Placement{
				{Name: "X-App", Value: "app_key"}, {Name: "X-User", Prefix: "User ", Value: "user_key"},
			}},
			values: map[string]string{"app_key": token, "user_key": "canary-user-key"},
			valid: func(r *http.Request, _ []byte) bool {
				return r.Header.Get("X-App") == token && r.Header.Get("X-User") == "User canary-user-key"
			},
		},
	}
}

// awsAccepts checks a signature as the manual says, from what arrived, without
// the library that made it.
func awsAccepts(r *http.Request, body []byte) bool {
	scope, rest, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential="), ", SignedHeaders=")
	names, signature, _ := strings.Cut(rest, ", Signature=")
	parts := strings.Split(scope, "/")
	if len(parts) != 5 || parts[0] != awsID || r.Header.Get("X-Amz-Security-Token") != session {
		return false
	}
	signed := strings.Split(names, ";")
	for _, must := range []string{"host", "x-amz-date", "x-amz-security-token", "content-type"} {
		if !slices.Contains(signed, must) {
			return false
		}
	}
	var canonical strings.Builder
	for _, name := range signed {
		value := strings.Join(r.Header.Values(name), ",")
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = strconv.FormatInt(r.ContentLength, 10)
		}
		canonical.WriteString(name + ":" + strings.TrimSpace(value) + "\n")
	}
	hash := func(b []byte) string { sum := sha256.Sum256(b); return hex.EncodeToString(sum[:]) }
	path, query, _ := strings.Cut(r.RequestURI, "?")
	request := strings.Join([]string{r.Method, path, query, canonical.String(), names, hash(body)}, "\n")
	text := strings.Join([]string{"AWS4-HMAC-SHA256", r.Header.Get("X-Amz-Date"), strings.Join(parts[1:], "/"), hash([]byte(request))}, "\n")
	key := []byte("AWS4" + awsKey)
	for _, part := range append(parts[1:], text) {
		mac := hmac.New(sha256.New, key)
		_, _ = io.WriteString(mac, part)
		key = mac.Sum(nil)
	}
	return hex.EncodeToString(key) == signature
}

// TestEverySchemeAuthenticates sends a request with a credential of each scheme
// to a real TLS server, which takes it and gives everything back: as it came, in
// base64, in hexadecimal, reversed by nobody. The connector sees no secret of it,
// nor what was derived from one (invariant 4).
func TestEverySchemeAuthenticates(t *testing.T) {
	t.Parallel()
	for name, k := range kinds() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var derived []string
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if !k.valid(r, body) {
					w.WriteHeader(http.StatusUnauthorized)
				}
				mu.Lock()
				if k.derived != nil {
					derived = k.derived(r)
				}
				mu.Unlock()
				var dump bytes.Buffer
				_ = r.Header.Write(&dump)
				dump.WriteString(r.RequestURI)
				for header, values := range r.Header {
					w.Header()["X-Echo-"+header] = values
				}
				_, _ = w.Write(dump.Bytes())
				_, _ = io.WriteString(w, "\n"+base64.StdEncoding.EncodeToString(dump.Bytes())+"\n"+hex.EncodeToString(dump.Bytes())+"\n")
				for _, secret := range append(slices.Clone(derived), valuesOf(k)...) {
					_, _ = io.WriteString(w, strings.ToUpper(hex.EncodeToString([]byte(secret)))+"\n"+base64.URLEncoding.EncodeToString([]byte(secret))+"\n")
				}
			})
			o := &opener{use: seal.Use{Hosts: []string{server.host()}, CA: server.ca(), PathPrefix: "/v1", Inject: k.inject}, values: k.values}
			request := post(server.URL+"/v1/x/../bills?b=2&a=1", `{"n":1}`)
			request.Header = map[string][]string{"Content-Type": {"application/json"}}
			reply, sent, err := start(t, broker.Config{}).Do(t.Context(), broker.Call{Connection: "con_1", Opener: o, IdempotencyKey: "eff_1"}, request)
			require.NoError(t, err)
			assert.True(t, sent)
			require.Equal(t, 200, reply.Status, "the server must take it")
			mu.Lock()
			defer mu.Unlock()
			var shown strings.Builder
			shown.Write(reply.Body)
			for header, values := range reply.Header {
				shown.WriteString("\n" + header + ": " + strings.Join(values, ","))
			}
			text := shown.String()
			for _, secret := range append(slices.Clone(derived), valuesOf(k)...) {
				require.NotEmpty(t, secret)
				lowered := strings.ToLower(text)
				assert.NotContains(t, text, secret)
				assert.NotContains(t, lowered, hex.EncodeToString([]byte(secret)))
				assert.NotContains(t, text, base64.StdEncoding.EncodeToString([]byte(secret)))
				assert.NotContains(t, text, base64.URLEncoding.EncodeToString([]byte(secret)))
				for shift := range 3 {
					inner := base64.RawStdEncoding.EncodeToString(append(make([]byte, shift), secret...))
					assert.NotContains(t, text, inner[4:len(inner)-2], "within base64 of more")
				}
			}
		})
	}
}

// valuesOf are the secrets of a kind: a short user name is none.
func valuesOf(k kind) []string {
	var out []string
	for name, value := range k.values {
		if name != "username" {
			out = append(out, value)
		}
	}
	return out
}

// TestSchemesAtAnotherHost: a redirect to another host is not followed, and a
// connector that asks for it itself is refused before anything is dialled.
func TestSchemesAtAnotherHost(t *testing.T) {
	t.Parallel()
	other := record(t)
	for name, k := range kinds() {
		server := serve(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://127.0.0.1:"+other.port()+"/", http.StatusTemporaryRedirect)
		})
		o := &opener{use: seal.Use{Hosts: []string{server.host()}, CA: server.ca(), Inject: k.inject}, values: k.values}
		b := start(t, broker.Config{})
		reply, _, err := b.Do(t.Context(), broker.Call{Connection: "con_1", Opener: o}, get(server.URL))
		require.NoError(t, err, name)
		assert.Equal(t, 307, reply.Status, name)
		_, sent, err := b.Do(t.Context(), broker.Call{Connection: "con_1", Opener: o}, get("https://127.0.0.1:"+other.port()+"/"))
		require.Equal(t, schema.CodeRefused, schema.CodeOf(err), name)
		assert.False(t, sent, name)
	}
	assert.Zero(t, other.connections.Load())
}

// TestSchemesRefuseTheConnectorsOwn: a connector cannot set what a scheme sets.
func TestSchemesRefuseTheConnectorsOwn(t *testing.T) {
	t.Parallel()
	server := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("nothing may arrive") })
	for name, headers := range map[string][]string{
		"hmac": {"x-signature", "X-Timestamp", "X_Key"}, "free": {"X-App", "x_user"},
		"sigv4":  {"Authorization", "x-amz-date", "X-Amz-Security-Token", "X_Amz_Content-Sha256"},
		"oauth2": {"authorization"},
	} {
		for _, header := range headers {
			k := kinds()[name]
			o := &opener{use: seal.Use{Hosts: []string{server.host()}, CA: server.ca(), Inject: k.inject}, values: k.values}
			_, sent, err := start(t, broker.Config{}).Do(t.Context(), broker.Call{Connection: "con_1", Opener: o},
				&sdk.Request{Method: "GET", URL: server.URL, Header: map[string][]string{header: {"mine"}}})
			require.Equal(t, schema.CodeRefused, schema.CodeOf(err), header)
			assert.False(t, sent)
		}
	}
}

// authority issues certificates for one test.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "clients"}, NotAfter: time.Now().Add(time.Hour), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &authority{t, key, cert}
}

// client issues a client certificate, in PEM with its key.
func (a *authority) client(name string) map[string]string {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(a.t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	require.NoError(a.t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(a.t, err)
	return map[string]string{
		"certificate": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})),
	}
}

// serve takes clients whose certificate the authority issued, and no others.
func (a *authority) serve(old bool) *target {
	a.t.Helper()
	s := &target{Server: httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leaf := r.TLS.PeerCertificates[0]
		w.Header().Set("X-Client", leaf.Subject.CommonName)
		w.Header().Set("X-Connection", r.RemoteAddr)
		_ = pem.Encode(w, &pem.Block{Type: "CERTIFICATE", Bytes: leaf.Raw})
		_, _ = io.WriteString(w, hex.EncodeToString(leaf.Raw))
	}))}
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	s.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool}
	if old {
		s.TLS.MaxVersion = tls.VersionTLS12
	}
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	a.t.Cleanup(s.Close)
	return s
}

// TestClientCertificates: the server verifies the certificate; network connections
// are shared by calls of one version only; what is no pair is never shown.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	ours, theirs := newAuthority(t), newAuthority(t)
	for _, old := range []bool{false, true} {
		server := ours.serve(old)
		first, second := ours.client("first"), ours.client("second")
		call := func(b *broker.Broker, version int, values map[string]string) (*sdk.Response, error) {
			o := &opener{use: seal.Use{Hosts: []string{server.host()}, CA: server.ca(), Inject: seal.Injection{Scheme: seal.SchemeMTLS}}, values: values}
			reply, _, err := b.Do(t.Context(), broker.Call{Connection: "con_1", Version: version, Opener: o}, get(server.URL+"/"))
			return reply, err
		}
		b := start(t, broker.Config{})
		one, err := call(b, 1, first)
		require.NoError(t, err)
		assert.Equal(t, []string{"first"}, one.Header["X-Client"])
		block, _ := pem.Decode([]byte(first["certificate"]))
		require.NotNil(t, block)
		assert.NotContains(t, string(one.Body), hex.EncodeToString(block.Bytes))
		assert.NotContains(t, strings.ReplaceAll(string(one.Body), "\n", ""), base64.StdEncoding.EncodeToString(block.Bytes))
		again, err := call(b, 1, first)
		require.NoError(t, err)
		assert.Equal(t, one.Header["X-Connection"], again.Header["X-Connection"], "kept")
		// A rotated certificate never goes out on a connection of the one before.
		two, err := call(b, 2, second)
		require.NoError(t, err)
		assert.Equal(t, []string{"second"}, two.Header["X-Client"])

		_, err = call(b, 3, theirs.client("stranger"))
		require.Error(t, err, "another authority's")
		mixed := map[string]string{"certificate": first["certificate"], "private_key": second["private_key"]}
		_, err = call(b, 4, mixed)
		require.Equal(t, schema.CodeRefused, schema.CodeOf(err))
		assert.NotContains(t, err.Error(), "PRIVATE")
	}
	// Without TLS there is nobody to show it to.
	o := &opener{use: seal.Use{Hosts: []string{"127.0.0.1:1"}, PlainHTTP: true, Inject: seal.Injection{Scheme: seal.SchemeMTLS}}, values: ours.client("first")}
	_, sent, err := start(t, broker.Config{}).Do(t.Context(), broker.Call{Connection: "con_1", Opener: o}, get("http://127.0.0.1:1/"))
	require.Equal(t, schema.CodeRefused, schema.CodeOf(err))
	assert.False(t, sent)
}
