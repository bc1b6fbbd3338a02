package engine

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"

	"github.com/tenonhq/tenon/schema"
)

// maxText bounds what a caller chose and the record repeats.
const maxText = 255

// RemoteRecord records acts through the API, which alone can write an
// organization's log: the engine holds no key of it, and the caller's own token
// says whose log it is.
type RemoteRecord struct {
	endpoint string
	client   *http.Client
}

// NewRemoteRecord records at the API's endpoint for acts, an https address or
// one of this machine. A nil pool verifies it with the system's authorities.
func NewRemoteRecord(endpoint string, authorities *x509.CertPool) (*RemoteRecord, error) {
	if err := checkEndpoint(endpoint); err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // It is one by definition.
	// The token goes to the endpoint and nowhere else.
	transport.Proxy = nil
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: authorities}
	return &RemoteRecord{endpoint: endpoint, client: &http.Client{
		Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Record implements [Recorder].
func (r *RemoteRecord) Record(ctx context.Context, a Act) error {
	body := map[string]any{
		"method": clip(a.Method), "namespace": clip(a.Namespace), "workflow": clip(a.Workflow), "run": clip(a.Run), "allowed": a.Allowed,
	}
	if !a.Allowed {
		body["count"] = a.Count
	}
	text, err := json.Marshal(body)
	if err != nil {
		return schema.Errorf(schema.CodeInternal, "an act cannot be encoded: %w", err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.endpoint, bytes.NewReader(text))
	if err != nil {
		return schema.Errorf(schema.CodeInternal, "the record cannot be asked: %w", err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("X-Namespace", a.Organization)
	request.Header["Authorization"] = []string{"Bearer " + string(a.Token.Reveal())}
	answer, err := r.client.Do(request)
	if err != nil {
		return schema.Errorf(schema.CodeUnavailable, "the API cannot be reached: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	// Read to its end, so that the connection can be used again.
	_, _ = io.CopyN(io.Discard, answer.Body, 64<<10)
	if answer.StatusCode != http.StatusNoContent {
		return schema.Errorf(schema.CodeUnavailable, "the API answered with status %d", answer.StatusCode)
	}
	return nil
}

// clip shortens a text of the caller's choice, on a whole character.
func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	end := 0
	for i := range s {
		if i > maxText {
			break
		}
		end = i
	}
	return s[:end]
}
