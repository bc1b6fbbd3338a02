package database

import (
	"database/sql"
	"errors"
	"strconv"

	"github.com/tenonhq/tenon/schema"
)

// Entry is what a transaction reads as it begins: one row, as it is once the other
// writers are done. A database has one Query. Check tells whether the transaction may
// go on.
type Entry struct {
	Query string
	Into  []any
	Check func() error
}

// Begin starts a write transaction; entry may be nil. On PostgreSQL it waits for the
// other writers of the schema, so that sequence numbers become visible in order. There
// it begins with its first statement, and takes no round trip of its own if that is a
// question, unless it is careful.
func (d *DB) Begin(careful bool, entry *Entry) (*Tx, error) {
	if d.writer == nil {
		return nil, schema.Errorf(schema.CodeForbidden, "this side of the cell is not written from here")
	}
	t, err := d.begin(careful, entry)
	if err != nil && !errors.As(err, new(refused)) {
		// The kept connection may have died while nobody looked.
		t, err = d.begin(careful, entry)
	}
	if err != nil {
		return nil, Error("begin a transaction", err)
	}
	return t, nil
}

func (d *DB) begin(careful bool, entry *Entry) (*Tx, error) {
	d.mu.Lock()
	d.resting = false
	d.mu.Unlock()
	if d.session == nil {
		conn, err := d.writer.Conn(d.background)
		if err != nil {
			return nil, err
		}
		d.session = &session{conn: conn, statements: make(map[string]*sql.Stmt), names: make(map[string]string)}
	}
	t := &Tx{Careful: careful, db: d, s: d.session, ctx: d.background, entry: entry, ahead: d.Postgres}
	var err error
	switch {
	case !d.Postgres:
		err = t.immediate()
	case careful:
		err = t.Start()
	}
	switch {
	case errors.As(err, new(refused)):
		d.Rollback(t)
		return nil, err
	case err != nil:
		d.drop()
		return nil, err
	}
	return t, nil
}

// refused is what Check says.
type refused struct{ error }

func (r refused) Unwrap() error { return r.error }

func (t *Tx) check() error {
	if err := t.entry.Check(); err != nil {
		t.Failed = true
		return refused{err}
	}
	return nil
}

// immediate begins a transaction of SQLite.
func (t *Tx) immediate() error {
	if _, err := t.s.conn.Conn.ExecContext(t.ctx, "BEGIN IMMEDIATE"); err != nil || t.entry == nil {
		return err
	}
	if err := t.QueryRow(t.entry.Query, nil, t.entry.Into...); err != nil {
		return err
	}
	return t.check()
}

// Start begins the transaction, if it has not begun.
func (t *Tx) Start() error {
	if !t.ahead {
		return nil
	}
	rows, err := t.enter("", "")
	if err != nil {
		return err
	}
	return rows.Close()
}

// through begins the transaction and sends what was put off.
func (t *Tx) through() error {
	if err := t.Start(); err != nil {
		return err
	}
	return t.send("")
}

// enter begins a transaction of PostgreSQL and asks a question with literals, unless
// that is empty: it takes the lock, then reads, in statements of their own, since one
// sees what was committed before it began.
func (t *Tx) enter(query, literals string) (_ *sql.Rows, err error) {
	t.ahead = false
	// First of all: whatever fails then, nothing that follows is outside of it.
	const begin = "BEGIN;"
	text := begin
	if t.entry != nil && !t.s.entry {
		text += preparing("entry", t.entry.Query)
	}
	name, fresh := "", false
	if query != "" {
		if name, fresh = t.s.name(query); fresh {
			text += preparing(name, t.db.rebind(query))
		}
	}
	t.s.spoiled = text != begin // Until it is known that they are prepared.
	text += "SELECT pg_advisory_xact_lock(" + strconv.FormatInt(t.db.lock, 10) + ")"
	if t.entry != nil {
		text += ";EXECUTE entry"
	}
	if name != "" {
		text += ";EXECUTE " + name + literals
	}
	rows, err := t.s.conn.Conn.QueryContext(t.ctx, text)
	if err != nil {
		t.Failed = true
		return nil, err
	}
	defer func() {
		if err != nil {
			t.Failed = true
			_ = rows.Close()
		}
	}()
	for rows.Next() { // the lock's
	}
	if t.entry != nil && rows.NextResultSet() {
		for rows.Next() {
			if err := rows.Scan(t.entry.Into...); err != nil {
				return nil, err
			}
		}
	}
	if name != "" {
		rows.NextResultSet()
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	t.s.entry, t.s.spoiled = t.s.entry || t.entry != nil, false
	if t.entry != nil {
		return rows, t.check()
	}
	return rows, nil
}

// name is the name under which the session prepares a statement; fresh says that it
// has not done so.
func (s *session) name(query string) (name string, fresh bool) {
	name, known := s.names[query]
	if !known {
		name = "tenon_" + strconv.Itoa(len(s.names))
		s.names[query] = name
	}
	return name, !known
}
