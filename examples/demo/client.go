package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// client is a JSON client with one bearer key.
type client struct {
	base, key, namespace string
	http                 *http.Client
}

func newClient(base, key string) client {
	return client{base: base, key: key, http: &http.Client{Timeout: 30 * time.Second}}
}

// trusting returns a client that trusts a private certificate authority.
func trusting(base, key, caFile string) (client, error) {
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return client{}, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	c := newClient(base, key)
	c.http.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	return c, nil
}

// do sends a request and decodes the answer; another status than wanted is an error.
func (c client) do(ctx context.Context, method, path string, want int, in, out any) error {
	var body io.Reader
	header := http.Header{"Content-Type": {"application/json"}}
	switch v := in.(type) {
	case nil:
	case yamlDocument:
		body = bytes.NewReader(v)
		header.Set("Content-Type", "application/yaml")
	default:
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	status, text, err := c.send(ctx, method, path, body, header)
	if err != nil {
		return err
	}
	if status != want {
		return fmt.Errorf("%s %s answered %d, not %d: %s", method, path, status, want, text)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}

type yamlDocument []byte

func (c client) send(ctx context.Context, method, path string, body io.Reader, header http.Header) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return 0, nil, err
	}
	req.Header = header
	if c.key != "" {
		req.Header.Set("Authorization", "Bearer "+c.key)
	}
	if c.namespace != "" {
		req.Header.Set("X-Namespace", c.namespace)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	return resp.StatusCode, text, err
}

// until polls until done tells yes, or the patience ends.
func until(ctx context.Context, patience time.Duration, what string, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	t := time.NewTicker(10 * time.Millisecond)
	defer t.Stop()
	for {
		ok, err := done()
		if err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: not within %s", what, patience)
		case <-t.C:
		}
	}
}
