package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/audit"
	"github.com/tenonhq/tenon/worker/notary"
)

// restoreAcceptance is whose databases are accepted as they are.
type restoreAcceptance struct {
	organization  string
	platform, all bool
}

func acceptRestore() *cobra.Command {
	var r restoreAcceptance
	cmd := &cobra.Command{
		Use:   "accept-restore",
		Short: "Accept databases that were restored from a backup",
		Long: `An organization whose databases are of an earlier time than what was signed last
does not run: its state is put_back. If you restored them from a backup, say so
with this command, on a machine that has the host's settings and its checkpoint
key. It signs where the audit chains end now, records who did it, and the hosts
run the organization again, within seconds. Chains that were changed otherwise
are not accepted.

Connections whose credentials were entered, replaced or revoked after the backup
stay suspended until somebody enters their credential again.`,
		Example: `  tenon audit accept-restore --organization org_…
  tenon audit accept-restore --all     # a whole server was restored`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			e, err := environment(c)
			if err != nil {
				return err
			}
			return r.run(c.Context(), e, c.OutOrStdout())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&r.organization, "organization", "", "accept this organization's databases")
	flags.BoolVar(&r.platform, "platform", false, "accept the control database")
	flags.BoolVar(&r.all, "all", false, "accept the control database and those of every organization, where they were put back")
	return cmd
}

func (r restoreAcceptance) run(ctx context.Context, e env, out io.Writer) error {
	chosen := 0
	for _, given := range []bool{r.organization != "", r.platform, r.all} {
		if given {
			chosen++
		}
	}
	if chosen != 1 {
		return schema.Errorf(schema.CodeInvalid, "give one of --organization, --platform and --all")
	}
	signer, err := audit.LoadSigner(e.checkpointKey)
	if err != nil {
		return err
	}
	keys, err := audit.LoadKeys(e.checkpointPublic)
	if err != nil {
		return err
	}
	control, err := e.openControl(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = control.Close() }()
	evidence := notary.Evidence{Control: control, Admin: e.admin(), Keys: keys, Directory: e.checkpoints}
	if r.all {
		return acceptAll(ctx, evidence, signer, out)
	}
	return accept(ctx, evidence, signer, r.organization, out)
}

func accept(ctx context.Context, e notary.Evidence, signer audit.Signer, organization string, out io.Writer) error {
	report, err := notary.Accept(ctx, e, signer, organization, operator())
	if err != nil {
		return err
	}
	return (auditVerify{}).print(out, report)
}

// acceptAll accepts what was put back. An organization that is refused keeps none of
// the others from running again.
func acceptAll(ctx context.Context, e notary.Evidence, signer audit.Signer, out io.Writer) error {
	// The control chain first, and not without it: it takes up what is said of the
	// others.
	if err := accept(ctx, e, signer, "", out); err != nil && schema.CodeOf(err) != schema.CodeConflict {
		return err
	}
	organizations, err := organizationsOf(ctx, e.Control)
	if err != nil {
		return err
	}
	var failed []error
	for _, organization := range organizations {
		err := accept(ctx, e, signer, organization, out)
		if err != nil && schema.CodeOf(err) != schema.CodeConflict { // A conflict: it is what was signed.
			failed = append(failed, fmt.Errorf("%s: %w", organization, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(failed...)
}
