package main

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
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

func (s setup) text(path ...string) []byte {
	text, _ := s.have(path...)
	return text
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

// What a run that was killed has not made or given, the next one does.
func TestKilledRunsAreGoneOnWith(t *testing.T) {
	s := made(t)
	before := files(t, s.out)
	for _, path := range [][]string{{"public", "ca.pem"}, {"host", "postgres-url"}, {"api", "redis-url"}} {
		require.NoError(t, os.Remove(filepath.Join(append([]string{s.out}, path...)...)))
	}
	require.NoError(t, s.certificates())
	assert.Equal(t, before, files(t, s.out))

	// Killed before it gave the files to their owner, which root alone may.
	s.postgres = 12345
	err := s.certificates()
	if os.Geteuid() != 0 {
		require.ErrorIs(t, err, os.ErrPermission)
		return
	}
	require.NoError(t, err)
	for _, path := range []string{s.path("postgres", "superuser.password"), s.path("redis", "tenon.password"), s.path("redis", "redis.conf")} {
		info, err := os.Stat(path)
		require.NoError(t, err)
		owner, ok := info.Sys().(*syscall.Stat_t)
		require.True(t, ok)
		assert.Equal(t, uint32(12345), owner.Uid, path)
	}
	assert.Equal(t, before, files(t, s.out))

	// The key of an authority is written before its certificate, and signs nothing yet.
	require.NoError(t, os.Remove(s.path("authority", "ca.pem")))
	require.NoError(t, s.certificates())
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(s.text("public", "ca.pem")))
	block, _ := pem.Decode(s.text("api", "tls.pem"))
	require.NotNil(t, block)
	c, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	_, err = c.Verify(x509.VerifyOptions{Roots: roots, DNSName: "api"})
	require.NoError(t, err)
}

// Nothing is made in the place of what is there and of no use: it may be the one that
// everything else was made with.
func TestNothingIsMadeOverWhatIsThere(t *testing.T) {
	for what, spoil := range map[string]func(s setup, path string) error{
		"unreadable": func(_ setup, path string) error {
			return errors.Join(os.Remove(path), os.Symlink(path, path))
		},
		"another's": func(s setup, path string) error {
			_, key, err := setup{out: filepath.Join(s.out, "another")}.found(time.Now())
			return errors.Join(err, os.WriteFile(path, key, 0o600))
		},
		"gone": func(_ setup, path string) error { return os.Remove(path) },
	} {
		names := []string{"authority/ca.key"}
		if what == "unreadable" {
			names = append(names, "authority/ca.pem", "postgres/superuser.password", "postgres/host.password", "redis/tenon.password", "api/tls.pem")
		}
		for _, name := range names {
			t.Run(name+" is "+what, func(t *testing.T) {
				s := made(t)
				path := filepath.Join(s.out, name)
				before := files(t, s.out)
				delete(before, path)
				require.NoError(t, spoil(s, path))
				spoilt, _ := os.Readlink(path)
				require.Error(t, s.certificates())
				after, _ := os.Readlink(path)
				assert.Equal(t, spoilt, after)
				for kept, text := range before {
					got, err := os.ReadFile(kept)
					require.NoError(t, err)
					assert.Equal(t, text, string(got), kept)
				}
			})
		}
	}
}

// Each service verifies the others with the one authority, by name.
func TestCertificatesVerify(t *testing.T) {
	s := made(t)
	roots := x509.NewCertPool()
	require.True(t, roots.AppendCertsFromPEM(s.text("public", "ca.pem")))
	for service, names := range map[string][]string{"api": {"api", "127.0.0.1"}, "engine": {"engine", "localhost"}, "postgres": {"postgres"}, "redis": {"redis"}} {
		block, _ := pem.Decode(s.text(service, "tls.pem"))
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
	text := s.text("api", "tls.pem")
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
		u, err := url.Parse(string(s.text(service, "postgres-url")))
		require.NoError(t, err)
		assert.Equal(t, "tenon_"+service, u.User.Username())
		assert.Equal(t, "verify-full", u.Query().Get("sslmode"))
		password, _ := u.User.Password()
		assert.Len(t, password, 48)
		assert.Empty(t, seen[password], "%s has the password of %s", service, seen[password])
		seen[password] = service
	}
}
