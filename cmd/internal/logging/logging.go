package logging

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/tenonhq/tenon/schema"
)

const redacted = "[redacted]"

// New returns a logger. Format is text or json, level debug, info, warn or
// error; the settings have checked both, and anything else is text and info.
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
	return slog.New(contextual{h}).With("process", process)
}

// telling are the parts of names that speak of secrets, without separators.
var telling = []string{
	"authorization", "password", "passwd", "passphrase", "secret", "token", "credential", "private", "apikey", "rootkey", "datakey", "signingkey",
	"keymaterial", "cookie", "bearer", "signature", "dsn", "databaseurl", "postgresurl", "redisurl",
}

// plain are names that contain a telling part and are not secret: they say
// which one, how many, or whether, never what.
var plain = []string{"credentialversion", "credentialstate", "credentialid", "tokenexpires"}

func redact(groups []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindGroup {
		return a
	}
	if tells(a.Key) {
		return slog.String(a.Key, redacted)
	}
	if slices.ContainsFunc(groups, tells) {
		return slog.String(a.Key, redacted)
	}
	if _, ok := a.Value.Any().(schema.Secret); ok {
		return slog.String(a.Key, redacted)
	}
	return a
}

// known are the verdicts on names, which each line asks for again: mostly our own
// few. Those that somebody else chose do not add up.
var known struct {
	verdicts sync.Map
	count    atomic.Int64
}

const maxKnown = 1024

func tells(name string) bool {
	if verdict, ok := known.verdicts.Load(name); ok {
		return verdict.(bool)
	}
	verdict := speaks(name)
	if known.count.Load() < maxKnown {
		known.count.Add(1)
		known.verdicts.Store(name, verdict)
	}
	return verdict
}

// speaks compares without case and separators: "API-Key", "apiKey", "api_key".
func speaks(name string) bool {
	name = strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == '.' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToLower(name))
	if slices.Contains(plain, name) {
		return false
	}
	for _, t := range telling {
		if strings.Contains(name, t) {
			return true
		}
	}
	return false
}

// IDs are what a context says about whose work is logged. Empty ones are left out.
type IDs struct {
	Request, Organization, Namespace, Run string
}

type idsKey struct{}

// With returns a context whose log lines carry the ids, over those it has.
func With(ctx context.Context, ids IDs) context.Context {
	have, _ := ctx.Value(idsKey{}).(IDs)
	for _, f := range []struct{ to, from *string }{
		{&have.Request, &ids.Request}, {&have.Organization, &ids.Organization}, {&have.Namespace, &ids.Namespace}, {&have.Run, &ids.Run},
	} {
		if *f.from != "" {
			*f.to = *f.from
		}
	}
	return context.WithValue(ctx, idsKey{}, have)
}

// contextual adds the ids of a line's context.
type contextual struct{ slog.Handler }

// Handle implements [slog.Handler].
func (h contextual) Handle(ctx context.Context, r slog.Record) error {
	if ids, ok := ctx.Value(idsKey{}).(IDs); ok {
		r = r.Clone()
		for _, a := range []slog.Attr{
			slog.String("request", ids.Request), slog.String("organization", ids.Organization),
			slog.String("namespace", ids.Namespace), slog.String("run", ids.Run),
		} {
			if a.Value.String() != "" {
				r.AddAttrs(a)
			}
		}
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (h contextual) WithAttrs(attrs []slog.Attr) slog.Handler {
	return contextual{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements [slog.Handler].
func (h contextual) WithGroup(name string) slog.Handler {
	return contextual{h.Handler.WithGroup(name)}
}
