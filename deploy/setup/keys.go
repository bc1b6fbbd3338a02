package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal/keyfile"
)

// pair is one that "tenon init" makes: name.key and name.pub.
type pair struct {
	name string
	// service alone has the private half. Whoever replaces the pair does it in
	// this service's directory: what is there leads.
	service string
	// others have a copy of the public half, which follows.
	others []string
}

// held says which process holds which keys. The root key is the host's alone, the
// API key the API's (see docs/security.md).
var held = []pair{
	{"root", "host", []string{"api"}},
	{"api", "api", []string{"host"}},
	{"engine-token", "host", []string{"api", "engine"}},
	{"checkpoint", "host", nil},
}

// keys runs "tenon init" and gives each process what it lacks. It runs as the user
// of the services, whose keys nobody else may read.
func (s setup) keys(ctx context.Context) error {
	// Made where they stay: of these two there is no copy that a replacement would
	// leave behind, or that could come back over the one in use.
	cmd := exec.CommandContext(ctx, s.tenon, "init", "--data", s.data,
		"--root-key", filepath.Join(s.out, "host", "root.key"), "--api-key", filepath.Join(s.out, "api", "api.key"))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return schema.Errorf(schema.CodeUnavailable, "tenon init failed: %w", err)
	}
	for _, p := range held {
		if err := s.give(p); err != nil {
			return err
		}
	}
	return nil
}

// give fills in what is missing of a pair where it leads, and has the copies follow.
func (s setup) give(p pair) error {
	key, public := p.name+".key", p.name+".pub"
	lacksKey, err := s.lacks(p.service, key)
	if err != nil {
		return err
	}
	lacksPublic, err := s.lacks(p.service, public)
	if err != nil {
		return err
	}
	// A private half brings its public one along, which comes first: killed in
	// between, both are given again.
	if lacksKey || lacksPublic {
		if err := s.hand(p.service, public, 0o644); err != nil {
			return err
		}
	}
	if lacksKey {
		if err := s.hand(p.service, key, 0o600); err != nil {
			return err
		}
	}
	text, err := os.ReadFile(filepath.Join(s.out, p.service, public))
	if err != nil {
		return schema.Errorf(schema.CodeUnavailable, "a service's public key cannot be read: %w", err)
	}
	for _, other := range p.others {
		if err := s.follow(text, other, public); err != nil {
			return err
		}
	}
	return nil
}

// lacks tells that a service has no such file. One that cannot be looked at is
// not taken for missing.
func (s setup) lacks(service, name string) (bool, error) {
	_, err := os.Lstat(filepath.Join(s.out, service, name))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return err != nil, nil
	}
	return false, schema.Errorf(schema.CodeUnavailable, "a service's key cannot be looked at: %w", err)
}

// hand copies to a service what "tenon init" made.
func (s setup) hand(service, name string, mode fs.FileMode) error {
	text, err := os.ReadFile(filepath.Join(s.data, "keys", name))
	if err != nil {
		return schema.Errorf(schema.CodeUnavailable, "a key that tenon init makes is not there: %w", err)
	}
	defer clear(text)
	return s.write(-1, mode, text, service, name)
}

// follow has a copy of a public half say what the leading one says. A copy that is
// there is written over: a confined process that runs may read that file only, and
// none that takes its place.
func (s setup) follow(text []byte, service, name string) error {
	lacks, err := s.lacks(service, name)
	if err != nil {
		return err
	}
	if lacks {
		return s.write(-1, 0o644, text, service, name)
	}
	return keyfile.Overwrite(filepath.Join(s.out, service, name), text)
}
