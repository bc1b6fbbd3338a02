package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
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
	files      []string
}

func credentialsCommand() *cobra.Command {
	var c credentialsClient
	cmd := &cobra.Command{Use: "credentials", Short: "Enter credentials, sealed before they leave this process"}
	set := &cobra.Command{
		Use:   "set",
		Short: "Seal a connection's credential and save it",
		Long: `Read the credential's values from the standard input, one NAME=VALUE a line, and
from files; check them, seal them to the cell's public key and save them. What
looks like a mistake but may be right is said on the standard error. By scheme:

  bearer   token
  header   value
  query    value
  basic    username, password
  oauth2   client_id, client_secret (not with client_auth none), and with the
           grant refresh_token that: refresh_token
  hmac     secret, and key_id where the use sends or signs it
  sigv4    access_key_id, secret_access_key, and session_token if there is one
  mtls     certificate, private_key: both PEM, from files
  free     the values that use.inject.headers names`,
		Example: `  printf 'token=%s\n' "$TOKEN" | tenon credentials set --connection books --namespace prod --key-file org.key
  tenon credentials set --connection bank --key-file org.key --file certificate=tls.crt --file private_key=tls.key </dev/null`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			values := map[string]string{}
			if err := readFiles(c.files, values); err != nil {
				return err
			}
			if err := readValues(cmd.InOrStdin(), values); err != nil {
				return err
			}
			version, err := c.set(cmd.Context(), values, cmd.ErrOrStderr())
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
	set.Flags().StringArrayVar(&c.files, "file", nil, "NAME=PATH: a value from a file, as it is but for a line break at its end; repeatable")
	cmd.AddCommand(set)
	return cmd
}

// readFiles adds the values that stand in files of their own.
func readFiles(files []string, values map[string]string) error {
	for _, file := range files {
		name, path, ok := strings.Cut(file, "=")
		if !ok || name == "" || path == "" {
			return schema.Errorf(schema.CodeInvalid, "--file must be NAME=PATH")
		}
		f, err := os.Open(filepath.Clean(path))
		if err != nil {
			return schema.Errorf(schema.CodeInvalid, "the file of the value %s cannot be opened: %w", name, err)
		}
		text, err := io.ReadAll(io.LimitReader(f, maxAnswer))
		if err := errors.Join(err, f.Close()); err != nil {
			return schema.Errorf(schema.CodeInvalid, "the file of the value %s cannot be read: %w", name, err)
		}
		values[name] = strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
		clear(text)
	}
	return nil
}

// readValues adds the values that stand in the lines of a text.
func readValues(r io.Reader, values map[string]string) error {
	text, err := io.ReadAll(io.LimitReader(r, maxAnswer))
	if err != nil {
		return schema.Errorf(schema.CodeInvalid, "the standard input could not be read: %w", err)
	}
	defer clear(text)
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return schema.Errorf(schema.CodeInvalid, "each line must be NAME=VALUE")
		}
		values[name] = value
	}
	if len(values) == 0 {
		return schema.Errorf(schema.CodeInvalid, "no values on the standard input")
	}
	return nil
}

// sealing is what the API tells a client that seals.
type sealing struct {
	PublicKey    seal.PublicKey `json:"public_key"`
	Organization string         `json:"organization"`
	Connection   string         `json:"connection"`
	Version      int            `json:"version"`
	Use          seal.Use       `json:"use"`
}

func (c credentialsClient) set(ctx context.Context, values map[string]string, warn io.Writer) (int, error) {
	if c.connection == "" {
		return 0, schema.Errorf(schema.CodeInvalid, "--connection is required")
	}
	var s sealing
	if err := c.call(ctx, http.MethodGet, c.path("/sealing"), nil, &s); err != nil {
		return 0, err
	}
	warnings, err := seal.Check(s.Use.Inject, values)
	if err != nil {
		return 0, err
	}
	for _, w := range warnings {
		if _, err := fmt.Fprintf(warn, "warning: %s: %s. %s\n", w.Pointer, w.Message, w.Hint); err != nil {
			return 0, schema.Errorf(schema.CodeInternal, "the standard error takes nothing: %w", err)
		}
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
