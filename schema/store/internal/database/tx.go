package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/uptrace/bun"
)

// session is the writer's connection with its prepared statements. It goes back
// to the pool when no unit came for IdleTime: preparing the statements costs
// more than a small transaction does.
type session struct {
	conn       bun.Conn
	statements map[string]*sql.Stmt
	// entry: what Begin reads is prepared, on PostgreSQL, under that name; names are
	// those of the statements that are put off.
	entry bool
	names map[string]string
	// spoiled: it is not known what is prepared.
	spoiled bool
}

// Tx is a write transaction. It belongs to one goroutine.
type Tx struct {
	// Writes counts the statements that may have changed something.
	Writes int
	// Failed is set when a statement failed: PostgreSQL then takes no other.
	Failed bool
	// Careful: every statement is run when it is asked for.
	Careful bool

	// ahead: it has not begun yet, on PostgreSQL; entry is read as it does.
	ahead bool
	entry *Entry
	tail  tail
	db    *DB
	s     *session
	ctx   context.Context //nolint:containedctx // the transaction's own, never a caller's
}

// Commit runs what was put off and makes the transaction durable. After ErrUndone it
// is rolled back; after another error nobody knows.
func (d *DB) Commit(t *Tx) error {
	if t.ahead && t.tail.text.Len() == 0 {
		return nil // Nothing was asked for.
	}
	err := t.Start()
	if err == nil && t.Failed {
		err = errFailed
	}
	if err != nil {
		d.Rollback(t)
		return errors.Join(ErrUndone, Error("commit", err))
	}
	end := "COMMIT"
	if d.Postgres && t.tail.text.Len() == 0 {
		// A transaction in which a statement failed answers COMMIT with ROLLBACK, which the
		// driver takes for a success; it refuses every other statement.
		end = "SELECT 1;COMMIT"
	}
	err = t.send(end)
	switch {
	case err == nil:
		return nil
	case undone(err):
		d.Rollback(t)
		return errors.Join(ErrUndone, Error("commit", err))
	}
	d.drop()
	return Error("commit", err)
}

// Rollback undoes the transaction.
func (d *DB) Rollback(t *Tx) {
	unsent := t.tail.prepares
	t.tail = tail{}
	switch {
	case t.s.spoiled, unsent:
		d.drop()
		return
	case t.ahead:
		return
	}
	if _, err := t.s.conn.Conn.ExecContext(t.ctx, "ROLLBACK"); err != nil {
		d.drop()
	}
}

// Idle says that no transaction follows for now: the writer's connection goes
// back to the pool unless another begins within IdleTime.
func (d *DB) Idle() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.resting = true
	if d.rest == nil {
		d.rest = time.AfterFunc(IdleTime, d.rested)
		return
	}
	d.rest.Reset(IdleTime)
}

func (d *DB) rested() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.resting {
		d.release(false)
	}
}

// drop closes a connection whose transaction is in doubt.
func (d *DB) drop() { d.release(true) }

func (d *DB) release(broken bool) {
	if d.session == nil {
		return
	}
	for _, s := range d.session.statements {
		_ = s.Close()
	}
	if forget := d.session.forget(); forget != "" && !broken {
		if _, err := d.session.conn.Conn.ExecContext(d.background, forget); err != nil {
			broken = true
		}
	}
	if broken {
		// An open transaction ends with its connection.
		_ = d.session.conn.Raw(func(any) error { return driver.ErrBadConn })
	}
	_ = d.session.conn.Close()
	d.session = nil
}

func (t *Tx) statement(query string) (*sql.Stmt, error) {
	if err := t.through(); err != nil {
		return nil, err
	}
	if s, ok := t.s.statements[query]; ok {
		return s, nil
	}
	s, err := t.s.conn.PrepareContext(t.ctx, t.db.rebind(query))
	if err != nil {
		t.Failed = true
		return nil, err
	}
	t.s.statements[query] = s
	return s, nil
}

// Exec runs a statement that changes something and returns how many rows it
// changed, and on SQLite the last row's id.
func (t *Tx) Exec(query string, args ...any) (changed, last int64, err error) {
	s, err := t.statement(query)
	if err != nil {
		return 0, 0, err
	}
	t.Writes++
	r, err := s.ExecContext(t.ctx, args...)
	if err != nil {
		t.Failed = true
		return 0, 0, err
	}
	if changed, err = r.RowsAffected(); err != nil {
		return 0, 0, err
	}
	if !t.db.Postgres {
		last, err = r.LastInsertId()
	}
	return changed, last, err
}

// Query reads in the transaction. The caller closes the rows before the next
// statement.
func (t *Tx) Query(query string, args ...any) (*sql.Rows, error) {
	if t.ahead && t.tail.text.Len() == 0 {
		if text, ok := literals(args); ok {
			return t.enter(query, text)
		}
	}
	s, err := t.statement(query)
	if err != nil {
		return nil, err
	}
	rows, err := s.QueryContext(t.ctx, args...)
	if err != nil {
		t.Failed = true
	}
	return rows, err
}

// QueryRow reads one row in the transaction.
func (t *Tx) QueryRow(query string, args []any, into ...any) error {
	s, err := t.statement(query)
	if err != nil {
		return err
	}
	err = s.QueryRowContext(t.ctx, args...).Scan(into...)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		t.Failed = true
	}
	return err
}

// Postgres tells the dialect.
func (t *Tx) Postgres() bool { return t.db.Postgres }

// Read is for reads through bun in the transaction.
func (t *Tx) Read() (bun.IDB, context.Context) {
	_ = t.through() // Where that fails, so does Commit.
	return t.s.conn, t.ctx
}

// Write is for writes through bun in the transaction.
func (t *Tx) Write() (bun.IDB, context.Context) {
	_ = t.through()
	t.Writes++
	return t.s.conn, t.ctx
}

// Query reads outside a transaction with a prepared statement.
func (d *DB) Query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	s, err := d.prepared(ctx, query)
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

func (d *DB) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	if s, ok := d.statements.Load(query); ok {
		return s.(*sql.Stmt), nil //nolint:forcetypeassert // nothing else is stored
	}
	s, err := d.reader.DB.PrepareContext(ctx, d.rebind(query))
	if err != nil {
		return nil, err
	}
	if first, loaded := d.statements.LoadOrStore(query, s); loaded {
		_ = s.Close()
		return first.(*sql.Stmt), nil //nolint:forcetypeassert // nothing else is stored
	}
	return s, nil
}

// rebind numbers the placeholders for PostgreSQL. Our statements have no "?"
// in text.
func (d *DB) rebind(query string) string {
	if !d.Postgres {
		return query
	}
	var b strings.Builder
	n := 0
	for _, c := range []byte(query) {
		if c != '?' {
			b.WriteByte(c)
			continue
		}
		n++
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(n))
	}
	return b.String()
}
