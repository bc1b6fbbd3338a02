package custody_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// providers speaks the documented protocols of Vault's transit engine and of AWS
// KMS, over TLS, as far as a private half needs them; [clouds] those of Google
// Cloud KMS and of Azure Key Vault, with the same keys.
type providers struct {
	mu sync.Mutex
	// keys are by engine and name, or by id; aliases are other names of them.
	keys    map[string]cipher.AEAD
	aliases map[string]string
	// answer replaces every answer when it is not nil.
	answer http.HandlerFunc
	asked  int
}

// fake is one for all tests: the clients read where it is when they first need it.
var fake = &providers{keys: make(map[string]cipher.AEAD), aliases: make(map[string]string)}

func TestMain(m *testing.M) {
	if crashPoint() != "" {
		os.Exit(rotateUntilKilled())
	}
	server := httptest.NewTLSServer(fake)
	dir, err := os.MkdirTemp("", "custody")
	if err != nil {
		panic(err)
	}
	authority := filepath.Join(dir, "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(authority, text, 0o600); err != nil {
		panic(err)
	}
	for name, value := range map[string]string{
		"VAULT_ADDR": server.URL, "VAULT_CACERT": authority, "VAULT_TOKEN": "hvs.test", "VAULT_MAX_RETRIES": "0",
		"AWS_ENDPOINT_URL_KMS": server.URL, "AWS_CA_BUNDLE": authority, "AWS_REGION": "eu-central-1",
		"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "test", "AWS_MAX_ATTEMPTS": "1", "AWS_EC2_METADATA_DISABLED": "true",
	} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	if err := startClouds(fake, dir); err != nil {
		panic(err)
	}
	code := m.Run()
	server.Close()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// reset makes the keys anew, and takes the answer back.
func (p *providers) reset(t *testing.T, keys ...string) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer, p.asked = nil, 0
	clear(p.keys)
	clear(p.aliases)
	for _, name := range keys {
		raw := make([]byte, 32)
		_, _ = rand.Read(raw)
		block, err := aes.NewCipher(raw)
		if err != nil {
			t.Fatal(err)
		}
		if p.keys[name], err = cipher.NewGCM(block); err != nil {
			t.Fatal(err)
		}
	}
}

func (p *providers) answers(h http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = h
}

func (p *providers) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	body, err := io.ReadAll(r.Body)
	switch {
	case err != nil:
		http.Error(w, "broken off", http.StatusBadRequest)
	case p.answer != nil:
		p.answer(w, r)
	case strings.HasPrefix(r.Header.Get("X-Amz-Target"), "TrentService."):
		p.kms(w, strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "TrentService."), body)
	default:
		p.transit(w, r, body)
	}
}

func (p *providers) transit(w http.ResponseWriter, r *http.Request, body []byte) {
	var in struct {
		Plaintext  []byte
		Ciphertext string
	}
	engine, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/"), "/")
	operation, name, _ := strings.Cut(rest, "/")
	aead := p.keys[engine+"/"+name]
	if r.Header.Get("X-Vault-Token") != "hvs.test" || json.Unmarshal(body, &in) != nil || aead == nil {
		http.Error(w, `{"errors":["permission denied"]}`, http.StatusForbidden)
		return
	}
	data := make(map[string]any)
	switch operation {
	case "encrypt":
		data["ciphertext"] = "vault:v1:" + base64.StdEncoding.EncodeToString(enclose(aead, in.Plaintext))
	case "decrypt":
		raw, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(in.Ciphertext, "vault:v1:"))
		plain, ok := disclose(aead, raw)
		if !ok {
			http.Error(w, `{"errors":["cipher: message authentication failed"]}`, http.StatusBadRequest)
			return
		}
		data["plaintext"] = plain
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"data": data})
}

// kms tells a key by the ciphertext when it decrypts, as AWS does.
func (p *providers) kms(w http.ResponseWriter, operation string, body []byte) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	refuse := func(kind string) {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"__type": kind, "message": "no"})
	}
	var in struct {
		KeyId     string //nolint:revive // Its name in the protocol.
		Plaintext []byte
		Blob      []byte `json:"CiphertextBlob"`
	}
	if json.Unmarshal(body, &in) != nil {
		refuse("ValidationException")
		return
	}
	switch operation {
	case "Encrypt":
		name := in.KeyId
		if to, ok := p.aliases[name]; ok {
			name = to
		}
		aead := p.keys[name]
		if aead == nil {
			refuse("NotFoundException")
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"CiphertextBlob": enclose(aead, in.Plaintext), "KeyId": name})
	case "Decrypt":
		for name, aead := range p.keys {
			if plain, ok := disclose(aead, in.Blob); ok {
				_ = json.NewEncoder(w).Encode(map[string]any{"Plaintext": plain, "KeyId": name})
				return
			}
		}
		refuse("InvalidCiphertextException")
	}
}

func enclose(aead cipher.AEAD, plain []byte) []byte {
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce)
	return aead.Seal(nonce, nonce, plain, nil)
}

func disclose(aead cipher.AEAD, sealed []byte) ([]byte, bool) {
	if len(sealed) < aead.NonceSize() {
		return nil, false
	}
	plain, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], nil)
	return plain, err == nil
}
