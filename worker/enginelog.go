package worker

import (
	"context"
	"log/slog"
	"strings"

	sdklog "go.temporal.io/sdk/log"
)

// EngineLog returns the logger for a client or worker of the engine. The SDK
// calls ordinary steps of its own information, and each of its pollers warns of
// each attempt while the engine is away; to an operator both are debugging:
// who needs the engine says so itself, once. Errors stay errors, but for an
// activity's failed attempt, which is repeated, and is debugging when nobody
// waits for it any more.
func EngineLog(logger *slog.Logger) sdklog.Logger {
	return sdklog.NewStructuredLogger(slog.New(demoted{logger.Handler()}))
}

// demoted writes what is less than an error as debugging.
type demoted struct{ slog.Handler }

func demote(l slog.Level) slog.Level {
	if l >= slog.LevelError {
		return l
	}
	return slog.LevelDebug
}

// attemptFailed is how the SDK begins to tell of an activity's failed attempt.
const attemptFailed = "Activity error."

// given tells whether the line is about something that was given up on purpose.
func given(r slog.Record) bool {
	canceled := false
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "Error" {
			err, ok := a.Value.Any().(error)
			canceled = ok && strings.Contains(err.Error(), context.Canceled.Error())
		}
		return !canceled
	})
	return canceled
}

// Enabled implements [slog.Handler].
func (d demoted) Enabled(ctx context.Context, l slog.Level) bool {
	return d.Handler.Enabled(ctx, demote(l))
}

// Handle implements [slog.Handler].
func (d demoted) Handle(ctx context.Context, r slog.Record) error {
	r.Level = demote(r.Level)
	if r.Message == attemptFailed {
		r.Level = slog.LevelWarn
		if given(r) {
			r.Level = slog.LevelDebug
		}
	}
	if !d.Handler.Enabled(ctx, r.Level) {
		return nil
	}
	return d.Handler.Handle(ctx, r)
}

// WithAttrs implements [slog.Handler].
func (d demoted) WithAttrs(attrs []slog.Attr) slog.Handler {
	return demoted{d.Handler.WithAttrs(attrs)}
}

// WithGroup implements [slog.Handler].
func (d demoted) WithGroup(name string) slog.Handler { return demoted{d.Handler.WithGroup(name)} }
