package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal"
)

// credentialsClient seals a credential here and sends it: the API never sees
// the values.
type credentialsClient struct {
	caller
	connection string
}

func credentialsCommand() *cobra.Command {
	var c credentialsClient
	cmd := &cobra.Command{Use: "credentials", Short: "Enter credentials, sealed before they leave this process"}
	set := &cobra.Command{
		Use:   "set",
		Short: "Seal a connection's credential and save it",
		Long: `Read the credential's values from the standard input, one NAME=VALUE a line, seal
them to the cell's public key and save them. By scheme: bearer needs token; header
and query need value; basic needs username and password.`,
		Example: "  printf 'token=%s\\n' \"$TOKEN\" | tenon credentials set --connection books --namespace prod --key-file org.key",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			values, err := readValues(cmd.InOrStdin())
			if err != nil {
				return err
			}
			version, err := c.set(cmd.Context(), values)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "saved as version %d\n", version)
			return err
		},
	}
	c.flags(set)
	set.Flags().StringVar(&c.namespace, "namespace", "", "namespace, by id or name; not needed with a key that is bound to one")
	set.Flags().StringVar(&c.connection, "connection", "", "connection, by id or name (required)")
	cmd.AddCommand(set)
	return cmd
}

func readValues(r io.Reader) (map[string]string, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxAnswer))
	if err != nil {
		return nil, schema.Errorf(schema.CodeInvalid, "the standard input could not be read: %w", err)
	}
	defer clear(text)
	values := map[string]string{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return nil, schema.Errorf(schema.CodeInvalid, "each line must be NAME=VALUE")
		}
		values[name] = value
	}
	if len(values) == 0 {
		return nil, schema.Errorf(schema.CodeInvalid, "no values on the standard input")
	}
	return values, nil
}

// sealing is what the API tells a client that seals.
type sealing struct {
	PublicKey    seal.PublicKey `json:"public_key"`
	Organization string         `json:"organization"`
	Connection   string         `json:"connection"`
	Version      int            `json:"version"`
	Use          seal.Use       `json:"use"`
}

func (c credentialsClient) set(ctx context.Context, values map[string]string) (int, error) {
	if c.connection == "" {
		return 0, schema.Errorf(schema.CodeInvalid, "--connection is required")
	}
	var s sealing
	if err := c.call(ctx, http.MethodGet, c.path("/sealing"), nil, &s); err != nil {
		return 0, err
	}
	sealed, err := seal.SealCredential(s.PublicKey, seal.Credential{
		Organization: s.Organization, Connection: s.Connection, Version: s.Version, Use: s.Use, Values: values,
	})
	if err != nil {
		return 0, err
	}
	return s.Version, c.call(ctx, http.MethodPut, c.path("/credential"), map[string]any{"sealed": sealed, "version": s.Version}, nil)
}

func (c credentialsClient) path(of string) string { return "/connections/" + c.connection + of }
