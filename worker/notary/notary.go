package notary

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/audit"
	"github.com/tenonhq/tenon/schema/store"
)

const (
	// defaultEvery is how often the chains of awake cells are looked at. What is
	// cut off a chain before it was signed does not show.
	defaultEvery = time.Minute
	// defaultPatience is how long the databases of one organization may take.
	defaultPatience = 10 * time.Second
	// restEvery is the look, of so many, that takes in cells that sleep: only
	// what the API writes changes them.
	restEvery = 15
	// looksAtOnce bounds how many organizations are looked at together, so that one
	// whose databases hang does not put the others off.
	looksAtOnce = 4
	// actor of the notary's own entries.
	actor = "system"
)

// Config is what a notary works with. All fields but Every and Patience are required.
type Config struct {
	Control *store.Control
	Admin   store.Admin
	Signer  audit.Signer
	// Keys are the public halves of Signer, and of those that signed before it.
	Keys audit.Keys
	// Directory holds a file of checkpoints for each organization, and one for
	// the control database.
	Directory string
	// Seal seals what an entry of the control chain tells of an organization.
	Seal func(ctx context.Context, organization string, detail []byte) ([]byte, error)
	// Awake lists the organizations whose cells this host runs.
	Awake func() []string
	// Every is a minute when zero.
	Every time.Duration
	// Patience is how long a comparison may take; 10 s when zero.
	Patience time.Duration
	Logger   *slog.Logger
}

// Notary signs until its context ends.
type Notary struct {
	cfg Config

	files *files

	mu sync.Mutex
	// busy has a place for who looks at an organization: one at a time, and none
	// waits for another's databases (invariant 2).
	busy map[string]chan struct{}
	// told are the findings that stand in the log already.
	told map[string]bool
}

// New returns a notary.
func New(cfg Config) (*Notary, error) {
	if cfg.Every <= 0 {
		cfg.Every = defaultEvery
	}
	if cfg.Patience <= 0 {
		cfg.Patience = defaultPatience
	}
	kept, err := openFiles(cfg.Directory)
	if err != nil {
		return nil, err
	}
	return &Notary{cfg: cfg, files: kept, busy: map[string]chan struct{}{}, told: map[string]bool{}}, nil
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
	// The control database's first: the others' checkpoints stand in it.
	n.look(ctx, "")
	var beside errgroup.Group
	beside.SetLimit(looksAtOnce)
	for _, organization := range organizations {
		beside.Go(func() error {
			n.look(ctx, organization)
			return nil
		})
	}
	_ = beside.Wait() // Each has logged its own.
}

func (n *Notary) look(ctx context.Context, organization string) {
	err := n.Attest(ctx, organization)
	if err != nil && schema.CodeOf(err) != schema.CodePutBack && ctx.Err() == nil {
		n.cfg.Logger.WarnContext(ctx, "the audit chains could not be signed and are tried again", "organization", organization, "error", err)
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
			if after = o.ID; Signed(o.State) {
				out = append(out, o.ID)
			}
		}
		if len(page) < store.MaxPage {
			return out, nil
		}
	}
}

// Signed tells whether an organization in that state has chains to sign.
func Signed(state string) bool {
	return state == store.OrganizationActive || state == store.OrganizationSuspended || state == store.OrganizationPutBack
}

// Attest compares the organization's chains, the control database's with "",
// with what was signed last, and signs what has grown since. CodePutBack means
// that they are not what was signed: an earlier copy of the databases stands in
// their place, or somebody changed them. Nothing is signed then, the
// organization is stopped, and nothing of it may run (invariants 1, 7 and 8).
//
// What is signed is on disk before anybody can read it, and a checkpoint is made
// of what was read. So a crash, of whatever and whenever, is never taken for it.
// Who waits for this waits for no longer than Config.Patience.
func (n *Notary) Attest(ctx context.Context, organization string) error {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.Patience)
	defer cancel()
	leave, err := n.enter(ctx, organization)
	if err != nil {
		return err
	}
	// A server that is frozen, or cut off, does not even hear that a query was given
	// up: whoever waits for it is let go, and its place stays taken meanwhile.
	done := make(chan error, 1)
	go func() {
		defer leave()
		done <- n.attest(ctx, organization)
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return schema.Errorf(schema.CodeTimeout, "the chains could not be looked at in time: %w", ctx.Err())
	}
}

func (n *Notary) attest(ctx context.Context, organization string) error {
	last, sound, err := n.reconcile(ctx, organization)
	if err != nil {
		return err
	}
	chains, err := n.open(ctx, organization)
	if err != nil {
		return err
	}
	defer func() { _ = chains.Close() }()
	heads, err := chains.Heads(ctx)
	if err != nil {
		return err
	}
	broken, err := compare(ctx, chains, last)
	switch {
	case err != nil:
		return err
	case broken != nil:
		// To sign over this would be to vouch for it.
		return n.stop(ctx, organization, *broken)
	case !sound && last == nil:
		return schema.Errorf(schema.CodeUnavailable, "the control database holds a checkpoint that the platform did not sign, and there is no other to compare the databases with")
	case !sound, len(heads) == 0 && last == nil, last != nil && slices.EqualFunc(heads, last.Heads, same):
		return nil
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

// enter waits until nobody else looks at the organization.
func (n *Notary) enter(ctx context.Context, organization string) (leave func(), err error) {
	n.mu.Lock()
	busy, ok := n.busy[organization]
	if !ok {
		busy = make(chan struct{}, 1)
		n.busy[organization] = busy
	}
	n.mu.Unlock()
	select {
	case busy <- struct{}{}:
		return func() { <-busy }, nil
	case <-ctx.Done():
		return nil, schema.Errorf(schema.CodeTimeout, "the chains are still being looked at: %w", ctx.Err())
	}
}

// compare finds the first chain that does not have the entry that the checkpoint
// signed.
func compare(ctx context.Context, chains *store.Chains, last *audit.Checkpoint) (*audit.Finding, error) {
	if last == nil {
		return nil, nil //nolint:nilnil // Nothing was signed, and nothing is wrong.
	}
	for _, h := range last.Heads {
		there, err := chains.At(ctx, h.Chain, h.Seq)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(there.Hash, h.Hash) {
			return &audit.Finding{Chain: h.Chain, Seq: h.Seq, What: "the entry that the last checkpoint signed is not there"}, nil
		}
	}
	return nil, nil //nolint:nilnil // As above.
}

// stop has nobody run an organization whose databases are not those that were
// signed, and puts that on the record.
func (n *Notary) stop(ctx context.Context, organization string, f audit.Finding) error {
	n.tell(ctx, organization, f)
	if organization != "" {
		draft, err := n.draft(ctx, "organization.put_back", organization, f)
		if err != nil {
			return err
		}
		if err := n.cfg.Control.PutBack(ctx, organization, draft); err != nil {
			return err
		}
	}
	return schema.Errorf(schema.CodePutBack, "the databases are not those that were signed: %s", f.String())
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
// somebody may have cut one of them. It is not sound when the database holds
// one that does not hold; then what the file has counts.
func (n *Notary) reconcile(ctx context.Context, organization string) (last *audit.Checkpoint, sound bool, err error) {
	kept, err := n.files.last(organization)
	if err != nil {
		return nil, false, err
	}
	last, sound = kept, true
	err = follow(ctx, n.cfg.Control, organization, kept, n.cfg.Keys, func(c *audit.Checkpoint, wrong error) error {
		if wrong != nil {
			sound = false
			n.tell(ctx, organization, audit.Finding{Seq: c.Sequence, What: "the control database holds a checkpoint that does not hold: " + wrong.Error()})
			return nil
		}
		last = c
		return n.files.add(c)
	})
	if err != nil || !sound {
		return last, sound, err
	}
	missing, err := n.missing(ctx, organization, last)
	for i := range missing {
		if err := n.cfg.Control.PutCheckpoint(ctx, missing[i]); err != nil && schema.CodeOf(err) != schema.CodeConflict {
			return last, sound, err
		}
	}
	return last, sound, err
}

// missing are the checkpoints on disk that the control database lost.
func (n *Notary) missing(ctx context.Context, organization string, last *audit.Checkpoint) ([]audit.Checkpoint, error) {
	stored, err := n.cfg.Control.LastCheckpoint(ctx, organization)
	if err != nil || sequence(stored) >= sequence(last) {
		return nil, err
	}
	return n.files.after(organization, sequence(stored))
}

// follow gives each checkpoint that the control database has behind one, and
// what is wrong with it; the first that is wrong is the last.
func follow(
	ctx context.Context, control *store.Control, organization string, last *audit.Checkpoint, keys audit.Keys, each func(*audit.Checkpoint, error) error,
) error {
	for {
		page, err := control.ListCheckpoints(ctx, organization, sequence(last), store.MaxPage)
		if err != nil {
			return err
		}
		for i := range page {
			wrong := audit.Follows(last, &page[i], organization, keys)
			if err := each(&page[i], wrong); err != nil || wrong != nil {
				return err
			}
			last = &page[i]
		}
		if len(page) < store.MaxPage {
			return nil
		}
	}
}

func sequence(c *audit.Checkpoint) int64 {
	if c == nil {
		return 0
	}
	return c.Sequence
}

// tell puts a finding on the record, once: the log of the process, and the
// control chain, which is not the one that is broken unless all is lost.
func (n *Notary) tell(ctx context.Context, organization string, f audit.Finding) {
	key := organization + "\x00" + f.String()
	n.mu.Lock()
	told := n.told[key]
	n.mu.Unlock()
	if told {
		return
	}
	n.cfg.Logger.ErrorContext(ctx, "the audit log is not what was signed: verify it", "organization", organization, "finding", f.String())
	draft, err := n.draft(ctx, "audit.broken", organization, f)
	if err == nil {
		err = n.cfg.Control.AppendAudit(ctx, draft)
	}
	if err != nil {
		n.cfg.Logger.WarnContext(ctx, "a finding could not be put on the record and is told again", "organization", organization, "error", err)
		return
	}
	n.mu.Lock()
	n.told[key] = true
	n.mu.Unlock()
}

// draft is an entry of the control chain about a finding. Without the keys to
// seal it, the entry stands without: that something is wrong matters more.
func (n *Notary) draft(ctx context.Context, action, organization string, f audit.Finding) (store.AuditDraft, error) {
	draft := store.AuditDraft{Actor: actor, Action: action, Target: targetOf(organization), Organization: organization}
	detail, err := json.Marshal(f)
	if err != nil {
		return draft, schema.Errorf(schema.CodeInternal, "a finding cannot be written: %w", err)
	}
	if organization == "" {
		draft.Target, draft.DetailSealed = f.Chain, detail
		return draft, nil
	}
	if draft.DetailSealed, err = n.cfg.Seal(ctx, organization, detail); err != nil {
		n.cfg.Logger.WarnContext(ctx, "a finding is on the record without its detail: the organization's keys do not open", "organization", organization, "error", err)
	}
	return draft, nil
}
