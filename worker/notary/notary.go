package notary

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/audit"
	"github.com/tenonhq/tenon/schema/store"
)

const (
	// defaultEvery is how often the chains of awake cells are looked at. What is
	// cut off a chain before it was signed does not show.
	defaultEvery = time.Minute
	// restEvery is the look, of so many, that takes in cells that sleep: only
	// what the API writes changes them.
	restEvery = 15
	// actor of the notary's own entries.
	actor = "system"
)

// Config is what a notary works with. All fields but Every are required.
type Config struct {
	Control *store.Control
	Admin   store.Admin
	Signer  audit.Signer
	// Keys are the public halves of Signer, and of those that signed before it.
	Keys audit.Keys
	// Directory holds a file of checkpoints for each organization, and one for
	// the control database.
	Directory string
	// Awake lists the organizations whose cells this host runs.
	Awake func() []string
	// Every is a minute when zero.
	Every  time.Duration
	Logger *slog.Logger
}

// Notary signs until its context ends.
type Notary struct {
	cfg   Config
	files *files
	// told are the findings that stand in the log already.
	told map[string]bool
}

// New returns a notary.
func New(cfg Config) (*Notary, error) {
	if cfg.Every <= 0 {
		cfg.Every = defaultEvery
	}
	kept, err := openFiles(cfg.Directory)
	if err != nil {
		return nil, err
	}
	return &Notary{cfg: cfg, files: kept, told: map[string]bool{}}, nil
}

// Run signs at once, at every look, and when the context ends.
func (n *Notary) Run(ctx context.Context) {
	every := time.NewTicker(n.cfg.Every)
	defer every.Stop()
	for look := 0; ; look++ {
		n.Look(ctx, look%restEvery == restEvery-1)
		select {
		case <-every.C:
		case <-ctx.Done():
			n.Look(context.WithoutCancel(ctx), false)
			return
		}
	}
}

// Look signs the chains that have grown: the control database's, those of the
// awake cells, and with all, those of every cell.
func (n *Notary) Look(ctx context.Context, all bool) {
	organizations := n.cfg.Awake()
	if all {
		every, err := n.organizations(ctx)
		if err != nil {
			n.cfg.Logger.WarnContext(ctx, "the organizations could not be listed; those asleep are signed later", "error", err)
		} else {
			organizations = every
		}
	}
	for _, organization := range append([]string{""}, organizations...) {
		if err := n.sign(ctx, organization); err != nil && ctx.Err() == nil {
			n.cfg.Logger.WarnContext(ctx, "the audit chains could not be signed and are tried again", "organization", organization, "error", err)
		}
	}
}

func (n *Notary) organizations(ctx context.Context) ([]string, error) {
	var out []string
	for after := ""; ; {
		page, err := n.cfg.Control.ListOrganizations(ctx, after, store.MaxPage)
		if err != nil {
			return nil, err
		}
		for _, o := range page {
			if after = o.ID; o.State == store.OrganizationActive || o.State == store.OrganizationSuspended {
				out = append(out, o.ID)
			}
		}
		if len(page) < store.MaxPage {
			return out, nil
		}
	}
}

// sign makes the organization's next checkpoint, unless its chains stand where
// the last one says, or are not what the last one says.
func (n *Notary) sign(ctx context.Context, organization string) error {
	last, err := n.reconcile(ctx, organization)
	if err != nil {
		return err
	}
	chains, err := n.open(ctx, organization)
	if err != nil {
		return err
	}
	defer func() { _ = chains.Close() }()
	heads, err := chains.Heads(ctx)
	if err != nil || len(heads) == 0 && last == nil {
		return err
	}
	if last != nil {
		if slices.EqualFunc(heads, last.Heads, same) {
			return nil
		}
		for _, h := range last.Heads {
			there, err := chains.At(ctx, h.Chain, h.Seq)
			if err != nil {
				return err
			}
			if !bytes.Equal(there.Hash, h.Hash) {
				// To sign over this would be to vouch for it.
				return n.tell(ctx, organization, audit.Finding{Chain: h.Chain, Seq: h.Seq, What: "the entry that the last checkpoint signed is not there"})
			}
		}
	}
	next := n.cfg.Signer.Next(last, organization, time.Now(), heads)
	if err := n.cfg.Control.PutCheckpoint(ctx, next); err != nil {
		// Of several hosts another was first: its checkpoint is followed later.
		if schema.CodeOf(err) == schema.CodeConflict {
			return nil
		}
		return err
	}
	return n.files.add(&next)
}

func same(a, b audit.ChainHead) bool {
	return a.Chain == b.Chain && a.Seq == b.Seq && bytes.Equal(a.Hash, b.Hash)
}

func (n *Notary) open(ctx context.Context, organization string) (*store.Chains, error) {
	if organization == "" {
		return n.cfg.Control.Chains(), nil
	}
	return store.OpenChains(ctx, n.cfg.Admin, organization)
}

// reconcile brings the file and the database to the same last checkpoint: a
// process may have died between the two, another host may have signed, and
// somebody may have cut one of them.
func (n *Notary) reconcile(ctx context.Context, organization string) (*audit.Checkpoint, error) {
	stored, err := n.cfg.Control.LastCheckpoint(ctx, organization)
	if err != nil {
		return nil, err
	}
	kept, err := n.files.last(organization)
	if err != nil {
		return nil, err
	}
	at := sequence(kept)
	for at < sequence(stored) {
		page, err := n.cfg.Control.ListCheckpoints(ctx, organization, at, store.MaxPage)
		if err != nil {
			return nil, err
		}
		if len(page) == 0 {
			break
		}
		for i := range page {
			if err := audit.Follows(kept, &page[i], organization, n.cfg.Keys); err != nil {
				return nil, n.tell(ctx, organization, audit.Finding{Seq: page[i].Sequence, What: "the control database holds a checkpoint that does not hold: " + err.Error()})
			}
			if err := n.files.add(&page[i]); err != nil {
				return nil, err
			}
			kept, at = &page[i], page[i].Sequence
		}
	}
	if sequence(stored) < sequence(kept) {
		missing, err := n.files.after(organization, sequence(stored))
		if err != nil {
			return nil, err
		}
		for i := range missing {
			if err := n.cfg.Control.PutCheckpoint(ctx, missing[i]); err != nil && schema.CodeOf(err) != schema.CodeConflict {
				return nil, err
			}
		}
	}
	return kept, nil
}

func sequence(c *audit.Checkpoint) int64 {
	if c == nil {
		return 0
	}
	return c.Sequence
}

// tell puts a finding on the record, once: the log of the process, and the
// control chain, which is not the one that is broken unless all is lost.
func (n *Notary) tell(ctx context.Context, organization string, f audit.Finding) error {
	key := organization + "\x00" + f.String()
	if n.told[key] {
		return nil
	}
	n.cfg.Logger.ErrorContext(ctx, "the audit log is not what was signed: verify it", "organization", organization, "finding", f.String())
	detail, err := json.Marshal(f)
	if err != nil {
		return schema.Errorf(schema.CodeInternal, "a finding cannot be written: %w", err)
	}
	target := organization
	if target == "" {
		target = f.Chain
	}
	err = n.cfg.Control.AppendAudit(ctx, store.AuditDraft{
		Actor: actor, Action: "audit.broken", Target: target, Organization: organization, DetailSealed: detail,
	})
	n.told[key] = err == nil
	return err
}
