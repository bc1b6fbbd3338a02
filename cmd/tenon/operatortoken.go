package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/token"
)

// maxOperatorToken bounds the life of an operator's token.
const maxOperatorToken = 12 * time.Hour

func operatorTokenCommand() *cobra.Command {
	var organization string
	var life time.Duration
	cmd := &cobra.Command{
		Use:   "operator-token",
		Short: "Make a short-lived token for the temporal CLI and the Temporal UI",
		Long: `Make a token that opens one organization's namespace in the engine, to read and
steer its workflows, and that reads their payloads decoded. It is printed on the
standard output and kept nowhere.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			e, err := environment(c)
			if err != nil {
				return err
			}
			if err := schema.CheckID(schema.PrefixOrganization, organization); err != nil {
				return schema.Errorf(schema.CodeInvalid, "--organization must be an organization's id")
			}
			if life <= 0 || life > maxOperatorToken {
				return schema.Errorf(schema.CodeInvalid, "--life must be a duration up to %s", maxOperatorToken)
			}
			signer, err := token.LoadSigner(e.signer)
			if err != nil {
				return err
			}
			// Before it is made: without the record there is no token (invariant 8).
			if err := e.recordToken(c.Context(), organization); err != nil {
				return err
			}
			minted, err := signer.Mint(token.Claims{
				Subject: strings.TrimPrefix(operator(), "operator:"), Role: token.RoleOperator, Namespaces: []string{organization}, Expires: time.Now().Add(life),
			})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), minted)
			return err
		},
	}
	cmd.Flags().StringVar(&organization, "organization", "", "organization that the token opens (required)")
	cmd.Flags().DurationVar(&life, "life", time.Hour, "how long the token is good for, up to 12h")
	return cmd
}

// recordToken puts it on the record of the organization that a token was made.
func (e env) recordToken(ctx context.Context, organization string) error {
	control, err := e.openControl(ctx)
	if err != nil {
		return err
	}
	err = control.AppendAudit(ctx, store.AuditDraft{Actor: operator(), Action: "operator_token.issue", Target: organization, Organization: organization})
	return errors.Join(err, control.Close())
}
