package main

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"net/url"
)

// roles are the database's, which database each begins with, and who logs in as
// which (see deploy/postgres/roles.sql).
var roles = []struct {
	name, database string
	services       []string
}{
	{"superuser", "", nil},
	{"host", "tenon", []string{"host", "init"}},
	{"api", "tenon", []string{"api"}},
	{"engine", "postgres", []string{"engine"}},
}

// passwords makes one for each role, beside PostgreSQL, and as the URL of each
// service that uses the role.
func (s setup) passwords() error {
	for _, r := range roles {
		if err := s.password(r.name, r.services, r.database); err != nil {
			return err
		}
	}
	return nil
}

func (s setup) password(role string, services []string, database string) error {
	text, err := s.secret("postgres", role+".password")
	if err != nil {
		return err
	}
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword("tenon_"+role, text), Host: s.database, Path: "/" + database,
		RawQuery: url.Values{"sslmode": {"verify-full"}, "sslrootcert": {s.trusted}}.Encode(),
	}
	for _, service := range services {
		if err := s.write(s.owner, 0o600, []byte(u.String()), service, "postgres-url"); err != nil {
			return err
		}
	}
	return nil
}

// secret is what an earlier run made, or a new one, for PostgreSQL and Redis.
func (s setup) secret(path ...string) (string, error) {
	text, err := s.have(path...)
	if err != nil {
		return "", err
	}
	if len(bytes.TrimSpace(text)) == 0 {
		var b [24]byte
		_, _ = rand.Read(b[:]) // it never fails
		text = []byte(hex.EncodeToString(b[:]))
	}
	return string(bytes.TrimSpace(text)), s.write(s.postgres, 0o600, text, path...)
}
