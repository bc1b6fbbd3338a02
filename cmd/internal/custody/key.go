package custody

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"

	"gocloud.dev/secrets"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/seal/keyfile"
)

// wrappedLimit bounds a file with a wrapped private half.
const wrappedLimit = 64 << 10

// Key says where one private half is kept.
type Key struct {
	setting, value string
	// path is the file with the private half, or with what the provider's key
	// made of it.
	path string
	mux  *secrets.URLMux
}

// New returns where the setting says that a private half is kept. Wrapped is the
// file for it when a provider's key wraps it.
func New(setting, value, wrapped string) Key {
	k := Key{setting: setting, value: value, path: value, mux: secrets.DefaultURLMux()}
	if Remote(value) {
		k.path = wrapped
	}
	return k
}

// Files are what a confined process reads to load it.
func (k Key) Files() []string {
	if Remote(k.value) {
		return append(clientFiles(), k.path)
	}
	return []string{k.path}
}

// Path is the file with the private half, or with what wraps it.
func (k Key) Path() string { return k.path }

// next is where the half that follows is kept until it is the one.
func (k Key) next() Key {
	k.path += ".next"
	return k
}

// exists tells that the half is there, or something in its place that cannot be
// looked at. What was being destroyed when the process was killed is not.
func (k Key) exists() bool {
	if _, err := os.Lstat(k.path); err != nil {
		return false
	}
	text, err := keyfile.ReadPrivate(k.path, wrappedLimit)
	defer clear(text)
	return err != nil || !keyfile.Blank(text)
}

// wrapped is a private half as a provider's key has wrapped it.
type wrapped struct {
	Version int            `json:"version"`
	Key     string         `json:"key"`
	Public  seal.PublicKey `json:"public"`
	Wrapped []byte         `json:"wrapped"`
}

// Load reads the private half. A file that others may read is refused; a provider
// that is absent or refuses is an error, and nothing else is tried.
func (k Key) Load(ctx context.Context) (seal.PrivateKey, error) {
	if !Remote(k.value) {
		return keystore.LoadPair(k.path)
	}
	text, err := keyfile.ReadPrivate(k.path, wrappedLimit)
	if schema.CodeOf(err) == schema.CodeNotFound {
		return seal.PrivateKey{}, schema.Errorf(schema.CodeNotFound, "setting %s names a provider's key, and there is nothing that it wrapped: no %s", k.setting, k.path).
			Advise("tenon init makes a pair where there is none; tenon keys rotate --from moves one that is kept elsewhere.")
	}
	if err != nil {
		return seal.PrivateKey{}, err
	}
	var w wrapped
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&w); err != nil || w.Version != 1 || len(w.Wrapped) == 0 {
		return seal.PrivateKey{}, schema.Errorf(schema.CodeInvalid, "%s does not hold a wrapped private key", k.path)
	}
	if !Same(w.Key, k.value) {
		return seal.PrivateKey{}, schema.Errorf(schema.CodeInvalid, "setting %s names another key than the one that wrapped %s", k.setting, k.path).
			Advise("Name that key, or move the pair with tenon keys rotate --from.")
	}
	return k.unwrap(ctx, w)
}

func (k Key) unwrap(ctx context.Context, w wrapped) (seal.PrivateKey, error) {
	raw, err := k.ask(ctx, "unwrap", func(ctx context.Context, keeper *secrets.Keeper) ([]byte, error) {
		return keeper.Decrypt(ctx, w.Wrapped)
	})
	if err != nil {
		return seal.PrivateKey{}, err
	}
	defer clear(raw)
	private, err := seal.ParsePrivateKey(raw)
	if err != nil || private.Public() != w.Public {
		return seal.PrivateKey{}, schema.Errorf(schema.CodeRefused, "setting %s: what its key unwraps is not the half of the public key in %s", k.setting, k.path)
	}
	return private, nil
}

// proven refuses, before anything depends on it, what the provider does not unwrap
// again.
func (k Key) proven(ctx context.Context, w wrapped, private seal.PrivateKey) error {
	if len(w.Wrapped) == 0 {
		return k.unavailable("wrap", schema.Errorf(schema.CodeUnavailable, "the provider's answer is empty"))
	}
	again, err := k.unwrap(ctx, w)
	if err == nil && again.Public() != private.Public() {
		err = k.unavailable("unwrap", schema.Errorf(schema.CodeUnavailable, "the provider's answer is another"))
	}
	return err
}

// Ensure reads the private half, or makes one where there is none. Where there was
// one, whose public half is still at public, none is made in its place: all that
// was wrapped to it would be lost.
func (k Key) Ensure(ctx context.Context, public string) (seal.PrivateKey, error) {
	if k.exists() {
		return k.Load(ctx)
	}
	if _, err := os.Lstat(public); err == nil {
		return seal.PrivateKey{}, schema.Errorf(schema.CodeNotFound, "setting %s: the private half of %s is not there", k.setting, public).
			Advise("Bring it back to " + k.path + ". If it is kept elsewhere, tenon keys rotate --from moves it here.")
	}
	return k.make(ctx)
}

// make makes a private half where there is none. Of several that do at once, all
// get the same.
func (k Key) make(ctx context.Context) (seal.PrivateKey, error) {
	if !Remote(k.value) {
		return keystore.EnsurePair(k.path)
	}
	private, err := seal.NewPrivateKey()
	if err != nil {
		return seal.PrivateKey{}, err
	}
	w := wrapped{Version: 1, Key: k.value, Public: private.Public()}
	w.Wrapped, err = k.ask(ctx, "wrap", func(ctx context.Context, keeper *secrets.Keeper) ([]byte, error) {
		return keeper.Encrypt(ctx, private.Reveal())
	})
	if err != nil {
		return seal.PrivateKey{}, err
	}
	if err := k.proven(ctx, w, private); err != nil {
		return seal.PrivateKey{}, err
	}
	text, err := json.MarshalIndent(w, "", "  ")
	if err != nil {
		return seal.PrivateKey{}, schema.Errorf(schema.CodeInternal, "a wrapped key does not encode: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(k.path), 0o700); err != nil {
		return seal.PrivateKey{}, schema.Errorf(schema.CodeUnavailable, "the directory of %s could not be made: %w", k.path, err)
	}
	if _, err := keyfile.Create(k.path, append(text, '\n'), 0o600); err != nil {
		return seal.PrivateKey{}, err
	}
	// Another process may have made one at the same time: what is kept counts.
	return k.Load(ctx)
}

// probe is what providers are asked to wrap, to find out which key they use.
const probe = "tenon probe"

// Apart refuses two providers' keys that are one under two names. AWS says which
// key it used; of the others, one key unwraps what the other wrapped.
func Apart(ctx context.Context, a, b Key) error {
	ia, _ := identify(a.setting, a.value)
	ib, _ := identify(b.setting, b.value)
	if !Remote(a.value) || ia.scheme != ib.scheme {
		return nil
	}
	ask := Key.unwraps
	if ia.scheme == schemeAWS {
		ask = Key.sameResource
	}
	same, err := ask(a, ctx, b)
	if err == nil && same {
		err = schema.Errorf(schema.CodeInvalid, "settings %s and %s must name different keys: the API never holds the root key", a.setting, b.setting)
	}
	return err
}

// unwraps tells whether the other key unwraps what this one wrapped.
func (k Key) unwraps(ctx context.Context, other Key) (bool, error) {
	sealed, err := k.ask(ctx, "wrap", func(ctx context.Context, keeper *secrets.Keeper) ([]byte, error) {
		return keeper.Encrypt(ctx, []byte(probe))
	})
	if err != nil {
		return false, err
	}
	opened, err := other.ask(ctx, "unwrap", func(ctx context.Context, keeper *secrets.Keeper) ([]byte, error) { return keeper.Decrypt(ctx, sealed) })
	return err == nil && string(opened) == probe, nil
}

// sameResource tells whether AWS knows both as one key.
func (k Key) sameResource(ctx context.Context, other Key) (bool, error) {
	mine, err := k.resource(ctx)
	if err != nil {
		return false, err
	}
	others, err := other.resource(ctx)
	return mine == others, err
}
