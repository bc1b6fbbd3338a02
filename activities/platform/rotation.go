package platform

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/crash"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
)

// DefaultSpread is how long a next key is known before it seals: longer than any
// API believes the keys that it has read.
const DefaultSpread = 10 * time.Second

// knownKeys is where a cell leaves the ids of the keys that it opens.
const knownKeys = "keys"

// RotationConfig is what rotations work with, beside [Config].
type RotationConfig struct {
	// Root are the private halves that open the entries, the newest first.
	Root func() ([]seal.PrivateKey, error)
	// Histories counts what the engine keeps of the organization that began
	// before: its payloads may need the former data key.
	Histories func(ctx context.Context, organization string, before time.Time) (int, error)
	// Spread is how long a next key is known before it seals; zero is
	// DefaultSpread.
	Spread time.Duration
}

// Rotation performs the steps of rotations.
type Rotation struct {
	*Platform
	cfg RotationConfig
}

// NewRotation returns the activity of rotations.
func NewRotation(p *Platform, cfg RotationConfig) *Rotation {
	if cfg.Spread == 0 {
		cfg.Spread = DefaultSpread
	}
	return &Rotation{Platform: p, cfg: cfg}
}

// Step does what is next for a rotation, if it can be done yet, and returns the
// state that the rotation is in then. Every change is made in the key store
// first, where it can be repeated, and recorded in the row after it: killed in
// between, the next Step finds it made.
func (r *Rotation) Step(ctx context.Context, id string) (string, error) {
	rotation, err := r.Platform.cfg.Control.GetRotation(ctx, id)
	if err != nil || rotation.State == store.RotationDone {
		return rotation.State, err
	}
	leave, err := r.alone(ctx, rotation.Organization)
	if err != nil {
		return "", err
	}
	defer leave()
	var next string
	switch rotation.State {
	case store.RotationRequested:
		next, err = store.RotationPrepared, r.prepare(ctx, rotation)
	case store.RotationPrepared:
		next, err = store.RotationSwitched, r.change(ctx, rotation)
	default:
		next, err = store.RotationDone, r.destroy(ctx, rotation)
	}
	if schema.CodeOf(err) == schema.CodeNotFound && r.gone(ctx, rotation.Organization) {
		next, err = store.RotationDone, nil
	}
	var w waits
	switch {
	case asWaits(err, &w):
		// What is asleep learns nothing and seals nothing anew.
		if err := r.Platform.cfg.Control.TouchCell(ctx, rotation.Organization); err != nil {
			return "", err
		}
		if rotation.WaitsFor == string(w) {
			return rotation.State, nil
		}
		return rotation.State, r.Platform.cfg.Control.RotationWaits(ctx, id, string(w))
	case err != nil:
		return "", err
	}
	crash.At(crash.KeysKept)
	return next, r.Platform.cfg.Control.AdvanceRotation(ctx, id, rotation.State, next, store.AuditDraft{
		Actor: r.Platform.cfg.Host, Action: "key.rotation_" + next, Target: id,
	})
}

// gone tells whether the organization was deleted: its keys are destroyed.
func (r *Rotation) gone(ctx context.Context, organization string) bool {
	_, err := r.Platform.cfg.Keys.Get(ctx, organization)
	return schema.CodeOf(err) == schema.CodeNotFound
}

// waits says what a step has to wait for.
type waits string

func (w waits) Error() string { return "waits for " + string(w) }

func asWaits(err error, w *waits) bool {
	found, ok := err.(waits) //nolint:errorlint // It is never wrapped: it goes from a step to Step.
	*w = found
	return ok
}

// update changes the entry with what a rotation needs, unless it has gone on since
// it was read: a host that was held up between its look and this must not do over
// what another has done, to the keys of a rotation that began since.
func (r *Rotation) update(ctx context.Context, rotation store.Rotation, change func(*keystore.Entry, keystore.Publics, []seal.PrivateKey) error) error {
	return r.Platform.cfg.Keys.Update(ctx, rotation.Organization, func(e *keystore.Entry) error {
		now, err := r.Platform.cfg.Control.GetRotation(ctx, rotation.ID)
		if err != nil {
			return err
		}
		if now.State != rotation.State {
			return schema.Errorf(schema.CodeConflict, "the rotation has gone on meanwhile")
		}
		to, err := r.Platform.cfg.Publics()
		if err != nil {
			return err
		}
		root, err := r.cfg.Root()
		if err != nil {
			return err
		}
		return change(e, to, root)
	})
}

func (r *Rotation) prepare(ctx context.Context, rotation store.Rotation) error {
	return r.update(ctx, rotation, func(e *keystore.Entry, to keystore.Publics, root []seal.PrivateKey) error {
		return e.Prepare(keystore.Kind(rotation.Kind), rotation.ID, to, root...)
	})
}

// change makes the next key the current one, once the cell and every API know it.
func (r *Rotation) change(ctx context.Context, rotation store.Rotation) error {
	if left := time.Until(rotation.UpdatedAt.Add(r.cfg.Spread)); left > 0 {
		return waits("every API to know the next key")
	}
	entry, err := r.Platform.cfg.Keys.Get(ctx, rotation.Organization)
	if err != nil {
		return err
	}
	next, ok := entry.MadeFor(rotation.ID)
	if !ok {
		return schema.Errorf(schema.CodeConflict, "the rotation's key is not in the key store")
	}
	err = r.look(ctx, rotation.Organization, func(_ keystore.HostCell, cell *store.Cell) error {
		text, err := cell.Work().GetMeta(ctx, knownKeys)
		if schema.CodeOf(err) == schema.CodeNotFound {
			return waits("the cell to know the next key")
		}
		if err != nil {
			return err
		}
		var known []seal.KeyID
		if err := json.Unmarshal(text, &known); err != nil || !slices.Contains(known, next) {
			return waits("the cell to know the next key")
		}
		return nil
	})
	if err != nil {
		return err
	}
	return r.update(ctx, rotation, func(e *keystore.Entry, _ keystore.Publics, root []seal.PrivateKey) error {
		return e.Switch(keystore.Kind(rotation.Kind), rotation.ID, root...)
	})
}

// destroy drops the former key, once nothing is left under it.
func (r *Rotation) destroy(ctx context.Context, rotation store.Rotation) error {
	var unused, logged []seal.KeyID
	err := r.look(ctx, rotation.Organization, func(opened keystore.HostCell, cell *store.Cell) error {
		var err error
		unused, logged, err = r.unused(ctx, opened, cell)
		return err
	})
	if err != nil {
		return err
	}
	return r.update(ctx, rotation, func(e *keystore.Entry, to keystore.Publics, root []seal.PrivateKey) error {
		return e.Destroy(unused, logged, to, root...)
	})
}

// unused refuses as long as anything may need a retiring key. Each side's writer
// says that it has looked at everything, and from when on nothing more could be
// written; what it says of data keys is counted here once more. It returns the
// keys that it looked for, and of them the data keys that details of the audit log
// are under.
func (r *Rotation) unused(ctx context.Context, opened keystore.HostCell, cell *store.Cell) (retiring, logged []seal.KeyID, err error) {
	retiring = append(slices.Clone(opened.Retiring), opened.RetiringPairs...)
	if len(retiring) == 0 {
		return nil, nil, nil // It is destroyed, and only the row does not say so yet.
	}
	at := time.Time{}
	for _, side := range []struct {
		name    string
		retired func(context.Context) ([]store.Retired, error)
		under   func(context.Context) ([]store.SealedCount, error)
	}{
		{"the API", cell.Door().Retired, cell.Door().SealedUnder},
		{"the cell", cell.Work().Retired, cell.Work().SealedUnder},
	} {
		retired, err := side.retired(ctx)
		if err != nil {
			return nil, nil, err
		}
		counts, err := side.under(ctx)
		if err != nil {
			return nil, nil, err
		}
		for _, id := range retiring {
			i := slices.IndexFunc(retired, func(x store.Retired) bool { return bytes.Equal(x.ID, id[:]) })
			if i < 0 || !retired[i].Clean {
				return nil, nil, waits(side.name + " to seal anew what the former key sealed")
			}
			if retired[i].At.After(at) {
				at = retired[i].At
			}
			left := 0
			for _, n := range counts {
				switch {
				case !bytes.Equal(n.Key, id[:]):
				case n.Table == seal.AuditTable:
					logged = append(logged, id)
				default:
					left += n.Rows
				}
			}
			if left > retired[i].Broken {
				return nil, nil, waits(fmt.Sprintf("%d values that are still under the former key on the side of %s", left-retired[i].Broken, side.name))
			}
		}
	}
	if len(opened.Retiring) == 0 {
		return retiring, logged, nil
	}
	kept, err := r.cfg.Histories(ctx, opened.Organization, at)
	if err != nil {
		return nil, nil, err
	}
	if kept > 0 {
		return nil, nil, waits(fmt.Sprintf("%d histories in the engine that began under the former key, open or kept for its tools", kept))
	}
	return retiring, logged, nil
}

// look opens the cell's databases to read them.
func (r *Rotation) look(ctx context.Context, org string, do func(keystore.HostCell, *store.Cell) error) error {
	entry, err := r.Platform.cfg.Keys.Get(ctx, org)
	if err != nil {
		return err
	}
	root, err := r.cfg.Root()
	if err != nil {
		return err
	}
	opened, err := entry.OpenForHost(root...)
	if err != nil {
		return err
	}
	urls, err := config.DecodeDatabases(opened.Databases[keystore.DatabaseCell])
	if err != nil {
		return err
	}
	cell, err := store.OpenCell(ctx, store.CellURLs{Door: urls.Door, Work: urls.Work}, store.SideNone)
	if err != nil {
		return err
	}
	defer func() { _ = cell.Close() }()
	return do(opened, cell)
}
