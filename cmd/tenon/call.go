package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/keystore"
)

const (
	// maxAnswer bounds what is read of the API's answers.
	maxAnswer = 1 << 20
	// callPatience bounds a call of the API.
	callPatience = 30 * time.Second
)

// caller calls the API with a key from a file.
type caller struct{ api, namespace, keyFile, caFile string }

func (c *caller) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.api, "api", "http://127.0.0.1:8080", "address of the API")
	cmd.Flags().StringVar(&c.keyFile, "key-file", "", "file with the API key, mode 0600 (required)")
	cmd.Flags().StringVar(&c.caFile, "ca-file", "", "certificate authority of the API, when it is a private one")
}

// call sends in as JSON, unless nil, and reads the answer into out, unless nil.
// path begins after /v1 and may have a query.
func (c caller) call(ctx context.Context, method, path string, in, out any) error {
	if c.keyFile == "" {
		return schema.Errorf(schema.CodeInvalid, "--key-file is required")
	}
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
	ctx, cancel := context.WithTimeout(ctx, callPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(c.api, "/")+"/v1"+path, body)
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
