package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/audit"
	"github.com/tenonhq/tenon/schema/store"
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
	control, err := store.OpenControl(ctx, e.controlURL())
	if err != nil {
		return err
	}
	defer func() { _ = control.Close() }()
	evidence := notary.Evidence{Control: control, Admin: e.admin(), Keys: keys, Directory: e.checkpoints}
	// The control chain first: it takes up what is said of the others.
	which := []string{r.organization}
	if r.all {
		organizations, err := organizationsOf(ctx, control)
		if err != nil {
			return err
		}
		which = append([]string{""}, organizations...)
	}
	for _, organization := range which {
		report, err := notary.Accept(ctx, evidence, signer, organization, operator())
		if r.all && schema.CodeOf(err) == schema.CodeConflict {
			continue // It is what was signed.
		}
		if err != nil {
			return err
		}
		if err := (auditVerify{}).print(out, report); err != nil {
			return err
		}
	}
	return nil
}
