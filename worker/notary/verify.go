package notary

import (
	"context"

	"github.com/tenonhq/tenon/schema/audit"
	"github.com/tenonhq/tenon/schema/store"
)

// Evidence is what an operator verifies with.
type Evidence struct {
	Control *store.Control
	Admin   store.Admin
	// Keys are the public keys that signed checkpoints.
	Keys audit.Keys
	// Directory holds the files of checkpoints; empty to believe the control
	// database's alone.
	Directory string
}

// Verify reads the organization's chains in its databases, the control chain
// with "", and verifies them against the signed checkpoints in the control
// database and in the files. An error means that they could not be read; what
// is wrong with them is in the report.
func Verify(ctx context.Context, e Evidence, organization string) (*audit.Report, error) {
	chains, err := e.chains(ctx, organization)
	if err != nil {
		return nil, err
	}
	defer func() { _ = chains.Close() }()
	// Checkpoints first: a chain only grows, so that none tells of more than is
	// there.
	checkpoints, err := e.checkpoints(ctx, organization)
	if err != nil {
		return nil, err
	}
	return e.verify(ctx, chains, organization, checkpoints...)
}

func (e Evidence) chains(ctx context.Context, organization string) (*store.Chains, error) {
	if organization == "" {
		return e.Control.Chains(), nil
	}
	return store.OpenChains(ctx, e.Admin, organization)
}

// verify verifies the chains against each place's copy of the checkpoints.
func (e Evidence) verify(ctx context.Context, chains *store.Chains, organization string, places ...[]audit.Checkpoint) (*audit.Report, error) {
	v := audit.NewVerification(organization, e.Keys, chains.Names())
	for _, checkpoints := range places {
		v.Checkpoints(checkpoints)
	}
	for _, chain := range chains.Names() {
		if err := chains.Walk(ctx, chain, v.Walker(chain)); err != nil {
			return nil, err
		}
	}
	return v.Report(), nil
}

// checkpoints are those of the control database, and those of the file.
func (e Evidence) checkpoints(ctx context.Context, organization string) ([][]audit.Checkpoint, error) {
	var stored []audit.Checkpoint
	for after := int64(0); ; {
		page, err := e.Control.ListCheckpoints(ctx, organization, after, store.MaxPage)
		if err != nil {
			return nil, err
		}
		stored = append(stored, page...)
		if len(page) < store.MaxPage {
			break
		}
		after = page[len(page)-1].Sequence
	}
	if e.Directory == "" {
		return [][]audit.Checkpoint{stored}, nil
	}
	kept, err := (&files{directory: e.Directory}).after(organization, 0)
	return [][]audit.Checkpoint{kept, stored}, err
}
