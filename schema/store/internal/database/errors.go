package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/lib/pq"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/tenonhq/tenon/schema"
)

// Error gives a driver's error a code. What was being done is for the message;
// the driver's own text is for logs only.
func Error(doing string, err error) error {
	var known *schema.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	if retired(err) {
		return Retired(doing)
	}
	switch code := codeOf(err); code {
	case schema.CodeNotFound:
		return schema.Errorf(code, "%s: there is none: %w", doing, err)
	case schema.CodeConflict:
		return schema.Errorf(code, "%s: it exists already: %w", doing, err)
	case schema.CodeUnavailable:
		return schema.Errorf(code, "%s: the database does not answer: %w", doing, err)
	case schema.CodeTimeout:
		return schema.Errorf(code, "%s: it took too long: %w", doing, err)
	default:
		return schema.Errorf(code, "%s: the database refused: %w", doing, err)
	}
}

// retiredState is the SQLSTATE of a write under a retired key, retiredText what
// SQLite's trigger says.
const (
	retiredState = "TN001"
	retiredText  = "sealed with a retired key"
)

func retired(err error) bool {
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		return lite.Code() == sqlite3.SQLITE_CONSTRAINT_TRIGGER && strings.Contains(lite.Error(), retiredText)
	}
	var post *pq.Error
	return errors.As(err, &post) && string(post.Code) == retiredState
}

// Retired is what a process is told that seals with a key that is about to be
// destroyed: nothing was written.
func Retired(doing string) error {
	return schema.Errorf(schema.CodeUnavailable, "%s: the cell's keys have just been replaced", doing).Advise("Try again.")
}

func codeOf(err error) schema.Code {
	var (
		lite *sqlite.Error
		post *pq.Error
		wire net.Error
	)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return schema.CodeNotFound
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return schema.CodeTimeout
	case errors.As(err, &lite):
		return sqliteCode(lite.Code())
	case errors.As(err, &post):
		return postgresCode(string(post.Code))
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, sql.ErrConnDone), errors.Is(err, io.EOF),
		errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &wire):
		return schema.CodeUnavailable
	}
	return schema.CodeInternal
}

func sqliteCode(code int) schema.Code {
	switch code {
	case sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_ROWID:
		return schema.CodeConflict
	}
	switch code & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR:
		return schema.CodeUnavailable
	case sqlite3.SQLITE_INTERRUPT:
		return schema.CodeTimeout
	}
	return schema.CodeInternal
}

func postgresCode(code string) schema.Code {
	switch code {
	case "23505":
		return schema.CodeConflict
	case "57014":
		return schema.CodeTimeout
	case "40001", "40P01", "55P03":
		return schema.CodeUnavailable
	}
	switch code[:min(2, len(code))] {
	case "08", "53", "57", "58":
		return schema.CodeUnavailable
	case "42":
		if code == "42501" {
			return schema.CodeForbidden
		}
	}
	return schema.CodeInternal
}
