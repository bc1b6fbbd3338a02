package notary

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sort"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/audit"
	"github.com/tenonhq/tenon/schema/store"
)

// Accept takes the databases of an organization, the control database with "",
// as they are now, although they end before what was signed: an administrator
// has restored them from a backup. It signs where the chains end, and hosts run
// the cell again. Only a true copy of an earlier time is accepted, and what was
// written behind it since: chains that were changed otherwise are CodeRefused,
// with what is wrong. CodeConflict means that nothing was put back.
//
// It is for who has the key of checkpoints, which no database holds: rights in
// SQL, or a key of the API that was planted with them, do not get here. It may
// run beside hosts, which follow what it signed.
func Accept(ctx context.Context, e Evidence, signer audit.Signer, organization, by string) (*audit.Report, error) {
	all, err := (&files{directory: e.Directory}).after(organization, 0)
	if err != nil {
		return nil, err
	}
	if err := e.completed(ctx, organization, all); err != nil {
		return nil, err
	}
	var last *audit.Checkpoint
	if len(all) > 0 {
		last = &all[len(all)-1]
	}
	err = follow(ctx, e.Control, organization, last, e.Keys, func(c *audit.Checkpoint, wrong error) error {
		all, last = append(all, *c), c
		return wrong
	})
	if err != nil {
		return nil, schema.Errorf(schema.CodeRefused, "the control database's checkpoints do not hold: %w", err).
			Advise("Verify with tenon audit verify. A checkpoint that the platform did not sign must be removed first.")
	}
	chains, err := e.chains(ctx, organization)
	if err != nil {
		return nil, err
	}
	defer func() { _ = chains.Close() }()
	broken, err := compare(ctx, chains, last)
	if err != nil {
		return nil, err
	}
	if broken == nil {
		return nil, schema.Errorf(schema.CodeConflict, "the databases are those that were signed: there is no restore to accept")
	}
	heads, err := ends(ctx, chains, all)
	if err != nil {
		return nil, err
	}
	next := signer.Accept(last, organization, time.Now(), heads)
	report, err := e.verify(ctx, chains, organization, append(all, next))
	if err != nil {
		return nil, err
	}
	if report.Broken() {
		return report, schema.Errorf(schema.CodeRefused, "the databases are no earlier copy of themselves: %s", report.Findings[0].String()).
			Advise("Restore them whole, from one backup; what was changed otherwise is not accepted.")
	}
	// What was given up stands in the checkpoint, which is signed.
	return report, e.Control.AcceptRestore(ctx, next, store.AuditDraft{
		Actor: by, Action: "organization.restore_accepted", Target: targetOf(organization),
	})
}

// ends are where each chain ends that was put back. One that was written on since
// ends, for the checkpoint that accepts it, with the last entry that was signed
// before and is still there.
func ends(ctx context.Context, chains *store.Chains, all []audit.Checkpoint) ([]audit.ChainHead, error) {
	heads, err := chains.Heads(ctx)
	if err != nil {
		return nil, err
	}
	out := heads[:0:0]
	for _, now := range heads {
		anchors := anchorsOf(all, now.Chain)
		// A copy has all that was signed up to its time, and nothing behind.
		var failed error
		changed := sort.Search(len(anchors), func(i int) bool {
			there, err := chains.At(ctx, now.Chain, anchors[i].Seq)
			failed = errors.Join(failed, err)
			return !bytes.Equal(there.Hash, anchors[i].Hash)
		})
		if failed != nil {
			return nil, failed
		}
		if changed < len(anchors) && anchors[changed].Seq <= now.Seq {
			if err := writtenSince(ctx, chains, now.Chain, anchors[changed].Seq, all[len(all)-1].At); err != nil {
				return nil, err
			}
			now.Head = audit.Head{}
			if changed > 0 {
				now.Head = anchors[changed-1]
			}
		}
		if now.Seq > 0 {
			out = append(out, now)
		}
	}
	return out, nil
}

// anchorsOf are the entries of a chain that checkpoints know, in their order.
func anchorsOf(all []audit.Checkpoint, chain string) []audit.Head {
	var out []audit.Head
	for i := range all {
		head := all[i].Head(chain)
		if all[i].Restored {
			out = slices.DeleteFunc(out, func(h audit.Head) bool { return h.Seq > head.Seq })
		}
		if len(out) == 0 && head.Seq > 0 || len(out) > 0 && head.Seq > out[len(out)-1].Seq {
			out = append(out, head)
		}
	}
	return out
}

// writtenSince refuses an entry that stands in the place of a signed one, and is
// not younger than that: nobody wrote it after a restore.
func writtenSince(ctx context.Context, chains *store.Chains, chain string, seq int64, signed time.Time) error {
	found, err := chains.List(ctx, chain, store.AuditFilter{After: seq - 1, Before: seq + 1})
	if err != nil {
		return err
	}
	if len(found) != 1 || !found[0].At.After(signed) {
		f := audit.Finding{Chain: chain, Seq: seq, What: "it, or one before it, was changed, and not by a restore"}
		return schema.Errorf(schema.CodeRefused, "the databases are no earlier copy of themselves: %s", f.String()).
			Advise("Restore them whole, from one backup; what was changed otherwise is not accepted.")
	}
	return nil
}

// completed gives the control database back the checkpoints that it lost, as a
// restored one has: the one that accepts the restore follows them.
func (e Evidence) completed(ctx context.Context, organization string, kept []audit.Checkpoint) error {
	stored, err := e.Control.LastCheckpoint(ctx, organization)
	if err != nil {
		return err
	}
	for i := range kept {
		if kept[i].Sequence <= sequence(stored) {
			continue
		}
		if err := e.Control.PutCheckpoint(ctx, kept[i]); err != nil && schema.CodeOf(err) != schema.CodeConflict {
			return err
		}
	}
	return nil
}

func targetOf(organization string) string {
	if organization == "" {
		return store.ChainControl
	}
	return organization
}
