package webui

import "net/http"

// policy is what the UI's pages may load and reach: this origin only. The UI
// server sets a policy of its own for frames, and its page one for scripts;
// where several apply a browser keeps to all of them.
func policy() string {
	return "default-src 'self'; script-src 'strict-dynamic' " + bootScript() +
		"; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self' data:; worker-src 'self' blob:" +
		"; connect-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"
}

// strict adds the policy to an answer as late as possible: a handler that sets
// its own would replace an earlier one.
type strict struct {
	http.ResponseWriter
	sent bool
}

// WriteHeader implements [http.ResponseWriter].
func (w *strict) WriteHeader(status int) {
	if !w.sent {
		w.sent = true
		w.Header().Add("Content-Security-Policy", policy())
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (w *strict) Write(b []byte) (int, error) {
	if !w.sent {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

// Flush implements [http.Flusher]: the UI server streams histories.
func (w *strict) Flush() {
	if !w.sent {
		w.WriteHeader(http.StatusOK)
	}
	// An answer that cannot be flushed is sent when it is whole.
	_ = http.NewResponseController(w.ResponseWriter).Flush()
}
