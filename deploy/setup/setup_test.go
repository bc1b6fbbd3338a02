package main

import (
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func made(t *testing.T) setup {
	t.Helper()
	s := setup{out: t.TempDir(), database: "postgres:5432", trusted: "/ca.pem", redisAddress: "redis:6379", redisPrivate: "/private", apiNames: []string{"api", "127.0.0.1"}, owner: -1, postgres: -1}
	require.NoError(t, s.certificates())
	return s
}

func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		out[path] = string(text)
		return err
	}))
	return out
}

func TestRepeatingChangesNothing(t *testing.T) {
	s := made(t)
	before := files(t, s.out)
	require.NoError(t, s.certificates())
	assert.Equal(t, before, files(t, s.out))
}

// Each service verifies the others with the one authority, by name.
func TestCertificatesVerify(t *testing.T) {
	s := made(t)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(s.have("public", "ca.pem")))
	for service, names := range map[string][]string{"api": {"api", "127.0.0.1"}, "engine": {"engine", "localhost"}, "postgres": {"postgres"}, "redis": {"redis"}} {
		block, _ := pem.Decode(s.have(service, "tls.pem"))
		require.NotNil(t, block, service)
		c, err := x509.ParseCertificate(block.Bytes)
		require.NoError(t, err)
		assert.False(t, c.IsCA, service)
		for _, name := range names {
			_, err := c.Verify(x509.VerifyOptions{Roots: roots, DNSName: name})
			require.NoError(t, err, "%s as %s", service, name)
		}
		_, err = c.Verify(x509.VerifyOptions{Roots: roots, DNSName: "example.com"})
		require.Error(t, err)
	}
}

// A certificate is made anew for other names, and near its end.
func TestCertificatesAreRenewed(t *testing.T) {
	s := made(t)
	a, err := s.authority(time.Now())
	require.NoError(t, err)
	text := s.have("api", "tls.pem")
	assert.True(t, good(text, a.certificate, []string{"api"}, time.Now()))
	assert.False(t, good(text, a.certificate, []string{"api", "tenon.example"}, time.Now()))
	assert.False(t, good(text, a.certificate, []string{"api"}, time.Now().Add(certificateLife-renewBefore+time.Hour)))
	other, err := setup{out: t.TempDir()}.authority(time.Now())
	require.NoError(t, err)
	assert.False(t, good(text, other.certificate, []string{"api"}, time.Now()))
}

// Secrets are for their owner alone, and no service has another's password.
func TestSecretsAreApart(t *testing.T) {
	s := made(t)
	seen := map[string]string{}
	for path := range files(t, s.out) {
		info, err := os.Stat(path)
		require.NoError(t, err)
		if filepath.Ext(path) == ".pem" {
			continue
		}
		assert.Equal(t, fs.FileMode(0o600), info.Mode().Perm(), path)
	}
	for _, service := range []string{"api", "engine", "host"} {
		u, err := url.Parse(string(s.have(service, "postgres-url")))
		require.NoError(t, err)
		assert.Equal(t, "tenon_"+service, u.User.Username())
		assert.Equal(t, "verify-full", u.Query().Get("sslmode"))
		password, _ := u.User.Password()
		assert.Len(t, password, 48)
		assert.Empty(t, seen[password], "%s has the password of %s", service, seen[password])
		seen[password] = service
	}
}
