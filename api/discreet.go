package api

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"strings"
)

// discreet serves what may carry a credential in clear: before the answer
// leaves, the connection's read buffer, which holds the request still, is
// overwritten, and the connection ends with the answer (invariant 1). HTTP/2,
// which is there over TLS only, reads elsewhere: docs/security.md says what
// that leaves.
func discreet(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hijacker, ok := w.(http.Hijacker)
		if !ok || r.Method != http.MethodPut || !strings.HasSuffix(r.URL.Path, "/credential") {
			next.ServeHTTP(w, r)
			return
		}
		held := &heldAnswer{header: http.Header{}, status: http.StatusOK}
		next.ServeHTTP(held, r)
		// What a refusal left unread would reset the connection under the answer.
		_, _ = io.CopyN(io.Discard, r.Body, 4*maxCredential)
		conn, buffered, err := hijacker.Hijack()
		if err != nil {
			held.writeTo(w)
			return
		}
		defer func() { _ = conn.Close() }()
		buffered.Reader.Reset(zeros{})
		_, _ = buffered.Peek(buffered.Reader.Size())
		answer := http.Response{
			StatusCode: held.status, ProtoMajor: 1, ProtoMinor: 1, Header: held.header, Request: r, Close: true,
			Body: io.NopCloser(&held.body), ContentLength: int64(held.body.Len()),
		}
		// The connection is all that can fail, and then nobody listens.
		_ = answer.Write(buffered)
		_ = buffered.Flush()
	})
}

// heldAnswer is an answer that has yet to leave.
type heldAnswer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (h *heldAnswer) Header() http.Header         { return h.header }
func (h *heldAnswer) WriteHeader(status int)      { h.status = status }
func (h *heldAnswer) Write(p []byte) (int, error) { return h.body.Write(p) }

func (h *heldAnswer) writeTo(w http.ResponseWriter) {
	maps.Copy(w.Header(), h.header)
	w.WriteHeader(h.status)
	_, _ = w.Write(h.body.Bytes())
}

// zeros is an endless row of them.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
