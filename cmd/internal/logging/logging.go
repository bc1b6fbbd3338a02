// Package logging makes the structured log of every process, with redaction by
// construction: secret types redact themselves, and an attribute whose name
// speaks of a secret is replaced whatever its type.
//
// It may import schema.
package logging

import (
	"io"
	"log/slog"
	"strings"

	"github.com/tenonhq/tenon/schema"
)

const redacted = "[redacted]"

// New returns a logger. Format is text or json, level debug, info, warn or error.
func New(w io.Writer, format, level, process string) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = slog.LevelInfo
	}
	opts := &slog.HandlerOptions{Level: l, ReplaceAttr: redact}
	var h slog.Handler = slog.NewTextHandler(w, opts)
	if format == "json" {
		h = slog.NewJSONHandler(w, opts)
	}
	return slog.New(h).With("process", process)
}

// telling are the parts of names that speak of secrets.
var telling = []string{"authorization", "password", "secret", "token", "credential_value", "private", "api_key", "apikey", "cookie"}

func redact(_ []string, a slog.Attr) slog.Attr {
	name := strings.ToLower(a.Key)
	for _, t := range telling {
		if strings.Contains(name, t) {
			return slog.String(a.Key, redacted)
		}
	}
	if _, ok := a.Value.Any().(schema.Secret); ok {
		return slog.String(a.Key, redacted)
	}
	return a
}
