package engine

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"

	serverlog "go.temporal.io/server/common/log"
	"go.temporal.io/server/common/log/tag"
)

// logger carries the server's log lines to slog. The server calls ordinary
// steps of its own start information; to an operator of Tenon they are
// debugging, so each such line goes one level down. Its debug lines, which
// quote requests and configuration, go nowhere. While it ends, its services
// complain that the others are gone: that is debugging as well.
type logger struct {
	to     *slog.Logger
	ending *atomic.Bool
}

// expected are warnings about what is meant to be so.
var expected = []string{
	"HTTP API port has not been set.",
}

var (
	_ serverlog.Logger     = logger{}
	_ serverlog.WithLogger = logger{}
)

func (l logger) Debug(string, ...tag.Tag)           {}
func (l logger) Info(msg string, tags ...tag.Tag)   { l.write(slog.LevelDebug, msg, tags) }
func (l logger) Warn(msg string, tags ...tag.Tag)   { l.write(slog.LevelWarn, msg, tags) }
func (l logger) Error(msg string, tags ...tag.Tag)  { l.write(slog.LevelError, msg, tags) }
func (l logger) DPanic(msg string, tags ...tag.Tag) { l.write(slog.LevelError, msg, tags) }

// Panic logs and panics, as the server expects of it.
func (l logger) Panic(msg string, tags ...tag.Tag) {
	l.write(slog.LevelError, msg, tags)
	panic("engine: " + msg)
}

// Fatal ends the process, by a panic so that deferred work still runs: the
// server calls it where it cannot go on, and does not expect it to return.
func (l logger) Fatal(msg string, tags ...tag.Tag) {
	l.write(slog.LevelError, msg, tags)
	panic("engine: " + msg)
}

// With implements [serverlog.WithLogger].
func (l logger) With(tags ...tag.Tag) serverlog.Logger {
	return logger{to: l.to.With(attributes(tags)...), ending: l.ending}
}

func (l logger) write(level slog.Level, msg string, tags []tag.Tag) {
	ctx := context.Background()
	if l.ending.Load() || givenUp(tags) || slices.ContainsFunc(expected, func(start string) bool { return strings.HasPrefix(msg, start) }) {
		level = slog.LevelDebug
	}
	if l.to.Enabled(ctx, level) {
		l.to.Log(ctx, level, msg, attributes(tags)...)
	}
}

// givenUp tells whether the line is about a request whose caller did not wait
// for its end, such as a worker that was killed.
func givenUp(tags []tag.Tag) bool {
	return slices.ContainsFunc(tags, func(t tag.Tag) bool {
		err, ok := t.Value().(string)
		if e, is := t.Value().(error); is {
			err, ok = e.Error(), true
		}
		return ok && t.Key() == "error" && strings.Contains(err, context.Canceled.Error())
	})
}

func attributes(tags []tag.Tag) []any {
	attrs := make([]any, 0, len(tags))
	for _, t := range tags {
		attrs = append(attrs, slog.Any(t.Key(), t.Value()))
	}
	return attrs
}
