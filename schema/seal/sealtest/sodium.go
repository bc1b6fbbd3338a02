package sealtest

import (
	"bytes"
	_ "embed"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// source is kept as text: a C file in a Go package would need cgo.
//
//go:embed sodium.c.txt
var source []byte

// Sodium runs operations of libsodium.
type Sodium struct{ path string }

// Build compiles the program. A machine that cannot fails the test: what is not
// compared is not known to be compatible.
func Build(t testing.TB) Sodium {
	t.Helper()
	dir := t.TempDir()
	file, program := filepath.Join(dir, "sodium.c"), filepath.Join(dir, "sodium")
	if err := os.WriteFile(file, source, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "gcc", "-Wall", "-o", program, file, "-lsodium")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("a C compiler and libsodium are needed to test the sealed formats (Debian: apt-get install gcc libc6-dev libsodium-dev): %v\n%s", err, out)
	}
	return Sodium{program}
}

// Seal is crypto_box_seal.
func (s Sodium) Seal(t *testing.T, public, plain []byte) []byte {
	t.Helper()
	return s.must(t, "seal", public, plain)
}

// Open is crypto_box_seal_open; nil when it refuses.
func (s Sodium) Open(t *testing.T, public, private, sealed []byte) []byte {
	t.Helper()
	out, _ := s.run(t, "open", public, private, sealed)
	return out
}

// Encrypt is crypto_aead_xchacha20poly1305_ietf_encrypt.
func (s Sodium) Encrypt(t *testing.T, key, nonce, associated, plain []byte) []byte {
	t.Helper()
	return s.must(t, "encrypt", key, nonce, associated, plain)
}

// Decrypt is crypto_aead_xchacha20poly1305_ietf_decrypt; nil when it refuses.
func (s Sodium) Decrypt(t *testing.T, key, nonce, associated, sealed []byte) []byte {
	t.Helper()
	out, _ := s.run(t, "decrypt", key, nonce, associated, sealed)
	return out
}

// PerSecond is how many values of the size libsodium encrypts, with a random nonce
// each, and decrypts in a second, when it does either for as long as d.
func (s Sodium) PerSecond(t testing.TB, size int, d time.Duration) (encrypts, decrypts float64) {
	t.Helper()
	return s.measure(t, "bench", size, d)
}

// BoxesPerSecond is how many sealed boxes of the size libsodium makes, and opens, in
// a second.
func (s Sodium) BoxesPerSecond(t testing.TB, size int, d time.Duration) (seals, opens float64) {
	t.Helper()
	return s.measure(t, "boxes", size, d)
}

func (s Sodium) measure(t testing.TB, what string, size int, d time.Duration) (in, out float64) {
	t.Helper()
	text, err := exec.CommandContext(t.Context(), s.path, what, strconv.Itoa(size), strconv.FormatFloat(d.Seconds(), 'f', -1, 64)).Output()
	if err == nil {
		_, err = fmt.Sscan(string(text), &in, &out)
	}
	if err != nil {
		t.Fatalf("libsodium was not measured: %v", err)
	}
	return in, out
}

func (s Sodium) must(t *testing.T, operation string, args ...[]byte) []byte {
	t.Helper()
	out, err := s.run(t, operation, args...)
	if err != nil {
		t.Fatalf("libsodium refused to %s: %v", operation, err)
	}
	return out
}

func (s Sodium) run(t *testing.T, operation string, args ...[]byte) ([]byte, error) {
	t.Helper()
	words := []string{operation}
	for _, a := range args {
		words = append(words, hex.EncodeToString(a))
	}
	out, err := exec.CommandContext(t.Context(), s.path, words...).Output()
	if err != nil {
		return nil, err
	}
	plain, err := hex.DecodeString(string(bytes.TrimSpace(out)))
	if err != nil {
		t.Fatalf("the C program wrote no hexadecimal: %v", err)
	}
	return plain, nil
}
