package store

import (
	"context"
	"database/sql"
	"slices"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/audit"
	"github.com/tenonhq/tenon/schema/store/internal/database"
)

// The cursors of a cell: how far it has read what the API writes.
const (
	CursorEvents   = "events"
	CursorCommands = "commands"
)

// Work is the side of a cell that the cell writes: runs, steps, effects.
// Every method that writes fails with CodeForbidden when the cell was opened
// for the other side.
type Work struct {
	s *side
}

// Commits is how many transactions were committed, for measuring how well
// writes share them.
func (w *Work) Commits() int64 { return w.s.Commits() }

// AppendAudit records an act that changes nothing else here.
func (w *Work) AppendAudit(ctx context.Context, a AuditDraft) error { return w.s.appendAudit(ctx, a) }

// ListAudit lists entries of the work's chain, newest first unless the filter says otherwise.
func (w *Work) ListAudit(ctx context.Context, f AuditFilter) ([]audit.Entry, error) {
	return w.s.listAudit(ctx, f)
}

// AuditHead is the last entry of the work's chain.
func (w *Work) AuditHead(ctx context.Context) (audit.Head, error) { return w.s.auditHead(ctx) }

// VerifyAudit checks the whole chain; see [Door.VerifyAudit].
func (w *Work) VerifyAudit(ctx context.Context, known ...audit.Head) (audit.Head, error) {
	return w.s.verifyAudit(ctx, known...)
}

// Cursor is how far the named sequence was read; 0 at first.
func (w *Work) Cursor(ctx context.Context, name string) (int64, error) {
	rows, err := w.s.Query(ctx, "SELECT seq FROM cursors WHERE name = ?", name)
	seqs, err := collect("read the cursor", rows, err, func(row scanner) (int64, error) {
		var n int64
		return n, row.Scan(&n)
	})
	if err != nil || len(seqs) == 0 {
		return 0, err
	}
	return seqs[0], nil
}

// SettledCursor is Cursor once no other transaction is under way: one whose connection
// broke as it was committed may still be, and its runs are then there.
func (w *Work) SettledCursor(ctx context.Context, name string) (seq int64, err error) {
	err = w.s.w.do(ctx, "read the cursor", func(t *txn) error {
		return t.QueryRow("SELECT COALESCE(MAX(seq), 0) FROM cursors WHERE name = ?", []any{name}, &seq)
	})
	return seq, err
}

// advance moves a cursor, never back.
func (t *txn) advance(name string, seq int64) error {
	return t.Later(`INSERT INTO cursors (name, seq) VALUES (?, ?)
ON CONFLICT (name) DO UPDATE SET seq = excluded.seq WHERE excluded.seq > cursors.seq`, name, seq)
}

// GetMeta reads what SetMeta kept under the key.
func (w *Work) GetMeta(ctx context.Context, key string) ([]byte, error) {
	rows, err := w.s.Query(ctx, "SELECT value FROM meta WHERE key = ?", key)
	return single("read "+key, rows, err, func(row scanner) ([]byte, error) {
		var b []byte
		return b, row.Scan(&b)
	})
}

// SetMeta keeps a value of the cell itself. It is bookkeeping and no act, so
// it is not audited.
func (w *Work) SetMeta(ctx context.Context, key string, value []byte) error {
	return w.s.w.do(ctx, "write "+key, func(t *txn) error {
		_, _, err := t.Exec(`INSERT INTO meta (key, value) VALUES (?, ?)
ON CONFLICT (key) DO UPDATE SET value = excluded.value`, key, blob(value))
		return err
	})
}

// ApplyCommand brings a command to effect: a run in one of the states of from
// gets the state to (unless empty), the effects are written, and with bump its
// owner loses it. The cursor of commands moves to seq in the same transaction;
// a command at or before it was applied before and changes nothing.
//
// CodeConflict means that the command does not fit, because of the run's state
// or of an effect's: nothing was written, and the command is to be skipped.
func (w *Work) ApplyCommand(
	ctx context.Context, seq int64, run string, from []string, to string, bump bool, effects []Effect, audit []AuditDraft,
) error {
	return w.s.w.do(ctx, "apply the command", func(t *txn) error {
		passed, err := t.passed(seq)
		if err != nil || passed {
			return err
		}
		held, err := t.hold([]string{run})
		if err != nil {
			return err
		}
		h := held[run]
		if h == nil {
			return errNone("find the run")
		}
		if !slices.Contains(from, h.state) {
			return schema.Errorf(schema.CodeConflict, "the run is %s", h.state)
		}
		if err := t.putEffects([]*holding{h}, [][]Effect{effects}); err != nil {
			return err
		}
		if to != "" {
			h.become(to)
		}
		if bump {
			h.carrier, h.epoch, h.dirty = "", h.epoch+1, true
		}
		if err := t.putRuns([]*holding{h}); err != nil {
			return err
		}
		t.audit(audit...)
		return t.advance(CursorCommands, seq)
	})
}

// SkipCommand passes over a command that does not fit, and says so in the
// audit log.
func (w *Work) SkipCommand(ctx context.Context, seq int64, audit []AuditDraft) error {
	return w.s.w.do(ctx, "skip the command", func(t *txn) error {
		passed, err := t.passed(seq)
		if err != nil || passed {
			return err
		}
		t.audit(audit...)
		return t.advance(CursorCommands, seq)
	})
}

// passed tells whether the cursor of commands is at seq or beyond.
func (t *txn) passed(seq int64) (bool, error) {
	var at int64
	err := t.QueryRow("SELECT COALESCE(MAX(seq), 0) FROM cursors WHERE name = ?", []any{CursorCommands}, &at)
	return at >= seq, err
}

// StartRuns adds pending runs and moves the cursor of events, in one
// transaction. A run whose event has one already is left as it is. The i-th
// draft belongs to the i-th run when there are as many, and is written only
// if the run is new.
func (w *Work) StartRuns(ctx context.Context, runs []Run, cursor int64, audit []AuditDraft) error {
	runs = slices.Clone(runs)
	for i := range runs {
		if runs[i].EventSeq == 0 {
			return schema.Errorf(schema.CodeInvalid, "a run needs the number of its event")
		}
		stamp(&runs[i].CreatedAt)
	}
	return w.s.w.do(ctx, "start the runs", func(t *txn) error {
		rows := make([][]any, len(runs))
		for i, r := range runs {
			program, err := t.dictionaries.programs.number(t, r.program())
			if err != nil {
				return err
			}
			rows[i] = r.row(program)
		}
		fresh, err := t.startRuns(rows)
		if err != nil {
			return err
		}
		if cursor > 0 {
			if err := t.advance(CursorEvents, cursor); err != nil {
				return err
			}
		}
		for i, a := range audit {
			if len(audit) != len(runs) || fresh(runs[i]) {
				t.audit(a)
			}
		}
		return nil
	})
}

// startRuns inserts the runs and returns which are new: all of them, unless the relay
// does not know what was committed last.
func (t *txn) startRuns(rows [][]any) (fresh func(Run) bool, err error) {
	known := make(map[int64]bool, len(rows))
	fresh = func(r Run) bool { return known[r.EventSeq] }
	if runRows.PutOff(t.Tx, rows) {
		return func(Run) bool { return true }, nil
	}
	if t.Postgres() {
		return fresh, runRows.Returning(t.Tx, rows, "seq, id", func(seq int64, _ string) { known[seq] = true })
	}
	seqs, err := runRows.InsertEach(t.Tx, rows)
	for _, seq := range seqs {
		known[seq] = true
	}
	return fresh, err
}

// TakeRuns makes the carrier the owner of those of the runs that are in one
// of the states of from, each with a new epoch, and returns them. Who owned
// one before is fenced.
func (w *Work) TakeRuns(ctx context.Context, carrier string, ids, from []string) ([]Run, error) {
	var out []Run
	err := w.s.w.do(ctx, "take the runs", func(t *txn) error {
		out = out[:0]
		held, err := t.hold(ids)
		if err != nil {
			return err
		}
		taken := make([]*holding, 0, len(ids))
		for _, id := range ids {
			h := held[id]
			if h == nil || !slices.Contains(from, h.state) {
				continue
			}
			h.carrier, h.epoch, h.dirty = carrier, h.epoch+1, true
			taken = append(taken, h)
		}
		if err := t.putRuns(taken); err != nil {
			return err
		}
		for _, h := range taken {
			r, err := t.run(h.seq)
			if err != nil {
				return err
			}
			out = append(out, r)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (t *txn) run(seq int64) (Run, error) {
	rows, err := t.Query(selectRuns+"WHERE seq = ?", seq)
	return single("find the run", rows, err, scanRun)
}

// errNone is what a lookup of one row that must exist says otherwise.
func errNone(doing string) error { return database.Error(doing, sql.ErrNoRows) }
