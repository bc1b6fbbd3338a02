package custody_test

import (
	"context"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"cloud.google.com/go/kms/apiv1/kmspb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// The hosts of Google's and Azure's services that the vendors' clients ask.
const (
	googleKMS, googleTokens = "cloudkms.googleapis.com", "oauth2.googleapis.com"
	azureLogin, azureVault  = "login.microsoftonline.com", "tenon.vault.azure.net"
	azureTenant             = "11111111-2222-3333-4444-555555555555"

	googleName = "projects/p/locations/l/keyRings/r/cryptoKeys/tenon"
	googleKey  = "gcpkms://" + googleName
	azureKey   = "azurekeyvault://" + azureVault + "/keys/tenon-root"
)

// clouds are those services, at their names: a server with certificates for them,
// and a proxy that leads every name to it. The vendors' clients reach it as they
// reach the products through the proxy of a company, by the usual environment
// variables; nothing of ours knows.
type clouds struct {
	*providers
	kmspb.UnimplementedKeyManagementServiceServer
	grpc *grpc.Server
}

// startClouds serves until the process ends, and sets the environment.
func startClouds(p *providers, dir string) error {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	c := &clouds{providers: p, grpc: grpc.NewServer()}
	kmspb.RegisterKeyManagementServiceServer(c.grpc, c)
	certificate, text, err := authority(googleKMS, googleTokens, azureLogin, azureVault)
	if err != nil {
		return err
	}
	server := httptest.NewUnstartedServer(c)
	server.EnableHTTP2, server.TLS = true, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	proxy := httptest.NewServer(connect(server.Listener.Addr().String()))
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	account, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "p", "private_key_id": "1", "client_email": "tenon@p.iam.gserviceaccount.com",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})), "token_uri": "https://" + googleTokens + "/token",
	})
	if err != nil {
		return err
	}
	files := map[string][]byte{"roots.pem": text, "google.json": account}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	for name, value := range map[string]string{
		"HTTPS_PROXY": proxy.URL, "SSL_CERT_FILE": filepath.Join(dir, "roots.pem"), "GOOGLE_APPLICATION_CREDENTIALS": filepath.Join(dir, "google.json"),
		"AZURE_TENANT_ID": azureTenant, "AZURE_CLIENT_ID": "tenon", "AZURE_CLIENT_SECRET": "azure-secret",
	} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return nil
}

// authority makes a certificate that is its own authority.
func authority(names ...string) (tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "clouds of the tests"}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	return tls.Certificate{Certificate: [][]byte{raw}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), nil
}

// connect is a proxy that leads to one address, whoever is asked for.
func connect(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			http.Error(w, "TLS only", http.StatusForbidden)
			return
		}
		up, err := net.Dial("tcp", to)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		down, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			_ = up.Close()
			return
		}
		_, _ = io.WriteString(down, "HTTP/1.1 200 Connection established\r\n\r\n")
		go func() {
			_, _ = io.Copy(up, buffered)
			_ = up.Close()
		}()
		_, _ = io.Copy(down, up)
		_ = down.Close()
	}
}

func (c *clouds) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := func(v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	login := "https://" + azureLogin + "/" + azureTenant
	host, _, _ := strings.Cut(r.Host, ":")
	switch {
	case host == googleTokens:
		answer(map[string]any{"access_token": "google-token", "token_type": "Bearer", "expires_in": 3600})
	case host == azureLogin && strings.HasSuffix(r.URL.Path, "/discovery/instance"):
		answer(map[string]any{
			"tenant_discovery_endpoint": login + "/v2.0/.well-known/openid-configuration",
			"metadata":                  []any{map[string]any{"preferred_network": azureLogin, "preferred_cache": azureLogin, "aliases": []string{azureLogin}}},
		})
	case host == azureLogin && strings.HasSuffix(r.URL.Path, "/openid-configuration"):
		answer(map[string]any{"issuer": login + "/v2.0", "authorization_endpoint": login + "/oauth2/v2.0/authorize", "token_endpoint": login + "/oauth2/v2.0/token"})
	case host == azureLogin && r.FormValue("client_secret") == "azure-secret":
		answer(map[string]any{"access_token": "azure-token", "token_type": "Bearer", "expires_in": 3600})
	case host == googleKMS || host == azureVault:
		c.mu.Lock()
		replaced := c.answer
		c.mu.Unlock()
		switch {
		case replaced != nil:
			replaced(w, r)
		case host == googleKMS:
			c.grpc.ServeHTTP(w, r)
		default:
			c.vault(w, r)
		}
	default:
		http.Error(w, "no such service", http.StatusForbidden)
	}
}

// google finds the key that a request names.
func (c *clouds) google(ctx context.Context, name string) (cipher.AEAD, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	md, _ := metadata.FromIncomingContext(ctx)
	if of := md.Get("authorization"); len(of) != 1 || of[0] != "Bearer google-token" {
		return nil, status.Error(codes.Unauthenticated, "no token")
	}
	aead := c.keys[name]
	if aead == nil {
		return nil, status.Error(codes.PermissionDenied, "no such key, or no right to it")
	}
	return aead, nil
}

// Encrypt is Google's.
func (c *clouds) Encrypt(ctx context.Context, in *kmspb.EncryptRequest) (*kmspb.EncryptResponse, error) {
	aead, err := c.google(ctx, in.GetName())
	if err != nil {
		return nil, err
	}
	return &kmspb.EncryptResponse{Name: in.GetName() + "/cryptoKeyVersions/1", Ciphertext: enclose(aead, in.GetPlaintext())}, nil
}

// Decrypt is Google's.
func (c *clouds) Decrypt(ctx context.Context, in *kmspb.DecryptRequest) (*kmspb.DecryptResponse, error) {
	aead, err := c.google(ctx, in.GetName())
	if err != nil {
		return nil, err
	}
	plain, ok := disclose(aead, in.GetCiphertext())
	if !ok {
		return nil, status.Error(codes.InvalidArgument, "the ciphertext is not this key's")
	}
	return &kmspb.DecryptResponse{Plaintext: plain}, nil
}

// vault is Azure's. Who comes without a token is told where there is one.
func (c *clouds) vault(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "Bearer azure-token" {
		w.Header().Set("WWW-Authenticate", `Bearer authorization="https://`+azureLogin+"/"+azureTenant+`", resource="https://vault.azure.net"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	refuse := func(status int, code string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]string{"code": code, "message": "no"}})
	}
	// /keys/NAME/VERSION/OPERATION; the version is empty where none is named.
	path := strings.Split(strings.TrimPrefix(r.URL.Path, "/keys/"), "/")
	var in struct{ Alg, Value string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Alg != "RSA-OAEP-256" {
		refuse(http.StatusBadRequest, "BadParameter")
		return
	}
	c.mu.Lock()
	aead := c.keys["azure/"+path[0]]
	c.mu.Unlock()
	value, err := base64.RawURLEncoding.DecodeString(in.Value)
	if aead == nil || err != nil {
		refuse(http.StatusNotFound, "KeyNotFound")
		return
	}
	// What a key makes of a value is its own matter; that it is RSA is not seen.
	out, ok := enclose(aead, value), true
	if path[len(path)-1] == "decrypt" {
		out, ok = disclose(aead, value)
	}
	if !ok {
		refuse(http.StatusBadRequest, "BadParameter")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]string{"kid": "https://" + azureVault + "/keys/" + path[0] + "/1", "value": base64.RawURLEncoding.EncodeToString(out)})
}
