package schema

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// Code is the stable, machine-readable kind of an error.
type Code string

// The codes of errors.
const (
	CodeInvalid         Code = "invalid"
	CodeUnauthenticated Code = "unauthenticated"
	CodeForbidden       Code = "forbidden"
	CodeNotFound        Code = "not_found"
	CodeConflict        Code = "conflict"
	// CodeGone: it was removed at the end of its retention, if there ever was one.
	CodeGone        Code = "gone"
	CodeTooLarge    Code = "too_large"
	CodeRateLimited Code = "rate_limited"
	// CodeFull: a bound on what is kept is reached.
	CodeFull        Code = "full"
	CodeUnavailable Code = "unavailable"
	CodeTimeout     Code = "timeout"
	// CodePutBack: the organization's databases are not those that were signed.
	CodePutBack Code = "put_back"
	// CodeRefused: a policy of custody or egress says no.
	CodeRefused Code = "refused"
	// CodeFenced: the owner of a run has changed.
	CodeFenced Code = "fenced"
	// CodeUncertain: it is not known whether an effect happened.
	CodeUncertain Code = "uncertain"
	CodeInternal  Code = "internal"
)

// Error is the one error type. Message, Pointer and Hint are shown to callers
// and never quote a secret; Err is for the log only.
type Error struct {
	Code    Code
	Message string
	// Pointer is a JSON Pointer (RFC 6901) to the place in the input.
	Pointer string
	// Hint says what to do.
	Hint string
	Err  error
}

// Errorf makes an error. A %w operand becomes Err, several are joined, and the
// texts of all errors among the operands are then left out of Message.
func Errorf(code Code, format string, args ...any) *Error {
	formatted := fmt.Errorf(format, args...)
	var wrapped error
	switch f := formatted.(type) { //nolint:errorlint // This one error is asked, not its chain.
	case interface{ Unwrap() error }:
		wrapped = f.Unwrap()
	case interface{ Unwrap() []error }:
		wrapped = errors.Join(f.Unwrap()...)
	}
	if wrapped == nil {
		return &Error{Code: code, Message: formatted.Error()}
	}
	return &Error{Code: code, Message: withoutCause(format, args), Err: wrapped}
}

// At sets the pointer.
func (e *Error) At(pointer string) *Error {
	e.Pointer = pointer
	return e
}

// Advise sets the hint.
func (e *Error) Advise(hint string) *Error {
	e.Hint = hint
	return e
}

// Error shows what a caller may see.
func (e *Error) Error() string {
	s := string(e.Code) + ": " + e.Message
	if e.Pointer != "" {
		s += " (at " + e.Pointer + ")"
	}
	return s
}

// Unwrap returns the internal cause.
func (e *Error) Unwrap() error { return e.Err }

// LogValue shows the cause too.
func (e *Error) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("code", string(e.Code)), slog.String("message", e.Message)}
	if e.Pointer != "" {
		attrs = append(attrs, slog.String("pointer", e.Pointer))
	}
	if e.Err != nil {
		attrs = append(attrs, slog.Any("cause", e.Err))
	}
	return slog.GroupValue(attrs...)
}

// CodeOf returns the code of an error: CodeInternal when it is none of ours,
// and empty when there is none.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return CodeInternal
}

// withoutCause formats the message with the cause left out: its text may say
// more than a caller should see.
func withoutCause(format string, args []any) string {
	kept := make([]any, len(args))
	for i, a := range args {
		if _, ok := a.(error); ok {
			a = cause{}
		}
		kept[i] = a
	}
	text := fmt.Errorf(format, kept...).Error()
	for _, tail := range []string{": " + causeMark, ", " + causeMark, " " + causeMark, causeMark} {
		text = strings.ReplaceAll(text, tail, "")
	}
	return text
}

const causeMark = "\x00cause\x00"

type cause struct{}

func (cause) Error() string { return causeMark }
