package main

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/tenonhq/tenon/api"
	"github.com/tenonhq/tenon/cmd/internal/confine"
	"github.com/tenonhq/tenon/cmd/internal/custody"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/audit"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/token"
)

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
	key, err := api.IssueAdministratorKey(ctx, control)
	if err != nil {
		return err
	}
	defer key.Wipe()
	return keystore.WriteSecretFile(e.adminKey, append(append([]byte(nil), key.Reveal()...), '\n'))
}

func sameKey() error {
	return schema.Errorf(schema.CodeInvalid, "settings root-key and api-key must name different keys: the API never holds the root key")
}
