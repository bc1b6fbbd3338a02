package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/seal"
)

// maxAnswer bounds what is read of the API's answers.
const maxAnswer = 1 << 20

// credentialsClient seals a credential here and sends it: the API never sees
// the values.
type credentialsClient struct {
	api, namespace, keyFile, caFile, connection string
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
	set.Flags().StringVar(&c.api, "api", "http://127.0.0.1:8080", "address of the API")
	set.Flags().StringVar(&c.namespace, "namespace", "", "namespace, by id or name; not needed with a key that is bound to one")
	set.Flags().StringVar(&c.connection, "connection", "", "connection, by id or name (required)")
	set.Flags().StringVar(&c.keyFile, "key-file", "", "file with the API key, mode 0600 (required)")
	set.Flags().StringVar(&c.caFile, "ca-file", "", "certificate authority of the API, when it is a private one")
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
	if c.connection == "" || c.keyFile == "" {
		return 0, schema.Errorf(schema.CodeInvalid, "--connection and --key-file are required")
	}
	var s sealing
	if err := c.call(ctx, http.MethodGet, "/sealing", nil, &s); err != nil {
		return 0, err
	}
	sealed, err := seal.SealCredential(s.PublicKey, seal.Credential{
		Organization: s.Organization, Connection: s.Connection, Version: s.Version, Use: s.Use, Values: values,
	})
	if err != nil {
		return 0, err
	}
	return s.Version, c.call(ctx, http.MethodPut, "/credential", map[string]any{"sealed": sealed, "version": s.Version}, nil)
}

func (c credentialsClient) call(ctx context.Context, method, path string, in, out any) error {
	key, err := keystore.ReadSecretFile(c.keyFile)
	if err != nil {
		return err
	}
	defer clear(key)
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return schema.Errorf(schema.CodeInternal, "the request does not encode: %w", err)
		}
		body = bytes.NewReader(text)
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(c.api, "/")+"/v1/connections/"+c.connection+path, body)
	if err != nil {
		return schema.Errorf(schema.CodeInvalid, "--api must be the address of the API")
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(key)))
	req.Header.Set("Content-Type", "application/json")
	if c.namespace != "" {
		req.Header.Set("X-Namespace", c.namespace)
	}
	client, err := apiClient(c.caFile)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return schema.Errorf(schema.CodeUnavailable, "the API does not answer: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return schema.Errorf(schema.CodeUnavailable, "the API's answer broke off: %w", err)
	}
	if resp.StatusCode/100 != 2 {
		var p struct{ Code, Detail, Hint string }
		_ = json.Unmarshal(text, &p)
		return schema.Errorf(schema.CodeRefused, "the API answered %d: %s %s", resp.StatusCode, p.Code, p.Detail).Advise(p.Hint)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return schema.Errorf(schema.CodeUnavailable, "the API's answer does not parse: %w", err)
	}
	return nil
}
