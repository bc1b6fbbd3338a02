package database

import (
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/lib/pq"
)

// ErrUndone is the error of a commit after which it is certain that nothing was
// written: the transaction could not begin, or a statement of it failed.
var ErrUndone = errors.New("a statement of the transaction failed")

// maxLater bounds what is put off: more costs more to read than a round trip.
const maxLater = 256 << 10

// tail is what a transaction of PostgreSQL puts off.
type tail struct {
	text strings.Builder
	// prepares: some statement is prepared first.
	prepares bool
}

// Later runs a statement that changes something, at the latest when the transaction
// ends: on PostgreSQL all of them share one round trip with what comes next, which is
// COMMIT if nothing is asked before. What it fails with is told by that, so that nobody
// can go on from it; a careful transaction runs it at once.
func (t *Tx) Later(query string, args ...any) error {
	if t.put(query, args) {
		t.Writes++
		return nil
	}
	_, _, err := t.Exec(query, args...)
	return err
}

// put puts a statement off, if that can be.
func (t *Tx) put(query string, args []any) bool {
	if !t.Postgres() || t.Careful || t.Failed {
		return false
	}
	text, ok := literals(args)
	if !ok || t.tail.text.Len()+len(text) > maxLater {
		return false
	}
	name, fresh := t.s.name(query)
	if fresh {
		t.tail.prepares = true
		t.tail.text.WriteString(preparing(name, t.db.rebind(query)))
	}
	t.tail.text.WriteString("EXECUTE " + name + text + ";")
	return true
}

// send sends what was put off, and then as well.
func (t *Tx) send(then string) error {
	text, prepares := t.tail.text.String()+then, t.tail.prepares //nolint:gosec // Statements are ours, and values are quoted.
	t.tail = tail{}
	if text == "" {
		return nil
	}
	_, err := t.s.conn.Conn.ExecContext(t.ctx, text)
	if err != nil {
		t.Failed = true
		// Which of them were prepared before it failed, nobody knows.
		t.s.spoiled = t.s.spoiled || prepares
	}
	return err
}

// errFailed is the error of a commit whose transaction did not go well, where nobody
// was told.
var errFailed = errors.New("a statement failed before")

// undone tells whether the server refused a statement, and so the transaction: one
// whose connection or server broke may have been committed. (Severities are no help:
// they are in the server's language.)
func undone(err error) bool {
	var post *pq.Error
	if !errors.As(err, &post) {
		return false
	}
	code := string(post.Code)
	return !strings.HasPrefix(code, "08") && !strings.HasPrefix(code, "57P") && code != "40003"
}

func preparing(name, query string) string { return "PREPARE " + name + " AS " + query + ";" }

// literals writes arguments as SQL does; not all can be.
func literals(args []any) (text string, ok bool) {
	switch {
	case len(args) == 0:
		return "", true
	case weight(args) > maxLater:
		return "", false
	}
	var out strings.Builder
	out.Grow(weight(args) + 16*len(args))
	for i, a := range args {
		if v, is := a.(driver.Valuer); is {
			var err error
			if a, err = v.Value(); err != nil {
				return "", false
			}
		}
		if i == 0 {
			out.WriteByte('(')
		} else {
			out.WriteByte(',')
		}
		switch v := a.(type) {
		case int64:
			out.WriteString(strconv.FormatInt(v, 10))
		case bool:
			out.WriteString(strconv.FormatBool(v))
		case []byte:
			out.WriteString(` E'\\x`)
			// A builder's writes do not fail.
			_, _ = hex.NewEncoder(&out).Write(v)
			out.WriteByte('\'')
		case string:
			if strings.ContainsRune(v, 0) {
				return "", false // It would end the message.
			}
			out.WriteString(pq.QuoteLiteral(v))
		default:
			return "", false
		}
	}
	out.WriteByte(')')
	return out.String(), true
}

// weight is about how many bytes the arguments take as text.
func weight(args []any) (n int) {
	for _, a := range args {
		switch v := a.(type) {
		case string:
			n += len(v)
		case []byte:
			n += 2 * len(v)
		case pq.StringArray:
			for _, s := range v {
				n += len(s)
			}
		case pq.ByteaArray:
			for _, b := range v {
				n += 2 * len(b)
			}
		}
	}
	return n
}

// PutOff puts the insertion of all rows off, if that can be; the transaction fails
// if not every one of them is inserted then.
func (b *Bulk) PutOff(t *Tx, rows [][]any) bool {
	if !t.Postgres() || len(rows) == 0 || !t.put(b.all, append(b.arrays(rows), int64(len(rows)))) {
		return false
	}
	t.Writes++
	return true
}

// All inserts the rows and tells whether every one of them was, as it is taken for
// when that is put off.
func (b *Bulk) All(t *Tx, rows [][]any) (bool, error) {
	if b.PutOff(t, rows) {
		return true, nil
	}
	n, err := b.Insert(t, rows)
	return n == int64(len(rows)), err
}

// forget is the statement that a session ends with, so that its connection has no
// prepared statements of ours.
func (s *session) forget() string {
	names := make([]string, 0, len(s.names)+1)
	if s.entry {
		names = append(names, "DEALLOCATE entry")
	}
	for _, name := range s.names {
		names = append(names, "DEALLOCATE "+name)
	}
	slices.Sort(names)
	return strings.Join(names, ";")
}
