package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/tenonhq/tenon/api"
	"github.com/tenonhq/tenon/cmd/internal/confine"
	"github.com/tenonhq/tenon/cmd/internal/custody"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/audit"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/token"
	"github.com/tenonhq/tenon/worker/process"
)

// initPatience bounds the wait for another init that makes the administrator's key.
const initPatience = 10 * time.Second

// initialize makes what is not there yet: it can be repeated. It is a process
// of its own, so that the one that goes on holds no private key.
func initialize(ctx context.Context, e env) error {
	if err := confine.Hide(); err != nil {
		return err
	}
	if err := e.directories(); err != nil {
		return err
	}
	root, err := e.rootKey().Ensure(ctx, e.rootPublic)
	if err != nil {
		return err
	}
	apiPair, err := e.apiKey().Ensure(ctx, e.apiPublic)
	if err != nil {
		return err
	}
	if err := custody.Apart(ctx, e.rootKey(), e.apiKey()); err != nil {
		return err
	}
	if root.Public() == apiPair.Public() {
		return sameKey()
	}
	signer, err := token.EnsureSigner(e.signer)
	if err != nil {
		return err
	}
	checkpoints, err := audit.EnsureSigner(e.checkpointKey)
	if err != nil {
		return err
	}
	if err := errors.Join(
		audit.AddKey(e.checkpointPublic, checkpoints.Public()),
		keystore.WritePublic(e.rootPublic, root.Public()), keystore.WritePublic(e.apiPublic, apiPair.Public()),
		token.WriteVerifier(e.verifier, signer.Verifier()),
	); err != nil {
		return err
	}
	if err := store.MigrateControl(ctx, e.controlURL()); err != nil {
		return err
	}
	if _, err := os.Stat(e.adminKey); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	control, err := store.OpenControl(ctx, e.controlURL())
	if err != nil {
		return err
	}
	defer func() { _ = control.Close() }()
	return e.issueAdministratorKey(ctx, control)
}

// issueAdministratorKey writes the key down before it is valid, and under its name
// when it is: killed in between, the next init goes on with the same one, and none
// is valid that nobody knows.
func (e env) issueAdministratorKey(ctx context.Context, control *store.Control) error {
	lock, err := process.Lock(ctx, filepath.Join(e.run, "init.lock"), initPatience)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	if _, err := os.Stat(e.adminKey); !errors.Is(err, fs.ErrNotExist) {
		return err // Another has been here since.
	}
	staged := e.adminKey + ".new"
	text, err := keystore.ReadSecretFile(staged)
	if schema.CodeOf(err) == schema.CodeNotFound {
		made := api.NewAdministratorKey()
		defer made.Wipe()
		text = append(append([]byte(nil), made.Reveal()...), '\n')
		err = keystore.WriteSecretFile(staged, text)
	}
	if err != nil {
		return err
	}
	defer clear(text)
	key := schema.NewSecret(bytes.TrimSpace(text))
	defer key.Wipe()
	if err := api.IssueAdministratorKey(ctx, control, key); err != nil {
		return err
	}
	if err := os.Rename(staged, e.adminKey); err != nil {
		return schema.Errorf(schema.CodeUnavailable, "the administrator's key could not be given its name: %w", err)
	}
	return nil
}

func sameKey() error {
	return schema.Errorf(schema.CodeInvalid, "settings root-key and api-key must name different keys: the API never holds the root key")
}
