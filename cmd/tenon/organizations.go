package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/tenonhq/tenon/schema"
)

func organizationsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "organizations", Short: "Revoke everything of an organization, or delete one"}
	cmd.AddCommand(revokeEverythingCommand(), deleteOrganizationCommand())
	return cmd
}

// revoked is what the API answers to revoke-everything.
type revoked struct {
	At      time.Time `json:"at"`
	Keys    []string  `json:"keys"`
	Ended   []string  `json:"credentials"`
	Flows   []string  `json:"flows"`
	Sources []string  `json:"sources"`
	Rotate  []struct {
		Kind      string    `json:"kind"`
		Namespace string    `json:"namespace"`
		Name      string    `json:"name"`
		Connector string    `json:"connector"`
		Hosts     []string  `json:"hosts"`
		SavedBy   string    `json:"saved_by"`
		SavedAt   time.Time `json:"saved_at"`
	} `json:"rotate"`
}

func revokeEverythingCommand() *cobra.Command {
	var c caller
	cmd := &cobra.Command{
		Use:   "revoke-everything ORGANIZATION",
		Short: "For an incident: end every key, token, session and credential, and pause all flows",
		Long: `Revoke an organization's API keys, operators' tokens and sessions, destroy its
credentials, pause its flows and suspend its sources, at once, and print what must
be replaced at the other systems. It may be repeated.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := organizationPath(args[0])
			if err != nil {
				return err
			}
			var done revoked
			if err := c.call(cmd.Context(), http.MethodPost, path+"/revoke-everything", nil, &done); err != nil {
				return err
			}
			return done.print(cmd.OutOrStdout())
		},
	}
	c.flags(cmd)
	return cmd
}

func (r revoked) print(out io.Writer) error {
	_, err := fmt.Fprintf(out, "revoked at %s: %d keys, %d credentials; paused %d flows, suspended %d sources; operators' tokens from before are void\n",
		r.At.Format(time.RFC3339), len(r.Keys), len(r.Ended), len(r.Flows), len(r.Sources))
	if err != nil || len(r.Rotate) == 0 {
		return err
	}
	if _, err := fmt.Fprint(out, "\nReplace at the other systems:\n\n"); err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	if _, err := fmt.Fprintln(table, "KIND\tNAMESPACE\tNAME\tCONNECTOR\tHOSTS\tSAVED BY\tSAVED AT"); err != nil {
		return err
	}
	for _, row := range r.Rotate {
		_, err := fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", row.Kind, row.Namespace, row.Name, row.Connector,
			strings.Join(row.Hosts, ","), row.SavedBy, row.SavedAt.Format(time.RFC3339))
		if err != nil {
			return err
		}
	}
	return table.Flush()
}

func deleteOrganizationCommand() *cobra.Command {
	var c caller
	var confirm string
	cmd := &cobra.Command{
		Use:   "delete ORGANIZATION",
		Short: "Delete an organization, its keys first: it cannot be taken back",
		Long: `Delete an organization with everything that it has. Its keys are destroyed first:
no copy and no backup of its databases can be read again. It takes the key of an
administrator, and the organization's id or name once more.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := organizationPath(args[0])
			if err != nil {
				return err
			}
			var o struct{ ID, State string }
			if err := c.call(cmd.Context(), http.MethodDelete, path+"?confirm="+url.QueryEscape(confirm), nil, &o); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is %s\n", o.ID, o.State)
			return err
		},
	}
	c.flags(cmd)
	cmd.Flags().StringVar(&confirm, "confirm", "", "the organization's id or name once more (required)")
	return cmd
}

func organizationPath(id string) (string, error) {
	if err := schema.CheckID(schema.PrefixOrganization, id); err != nil {
		return "", schema.Errorf(schema.CodeInvalid, "ORGANIZATION must be an organization's id")
	}
	return "/organizations/" + id, nil
}
