package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/audit"
	"github.com/tenonhq/tenon/schema/store/internal/database"
	"github.com/tenonhq/tenon/schema/store/internal/group"
)

// writer runs units of work in shared transactions and ends each transaction
// with the audit entries of all its units, in one statement.
type writer struct {
	db        *database.DB
	chain     string
	committer *group.Committer[*txn]
	owner     ownership
	// head is the last entry this process committed.
	head audit.Head
	// dictionaries are what rows and entries have in common.
	dictionaries *dictionaries
}

// txn is a write transaction with its part of the audit log.
type txn struct {
	*database.Tx
	drafts []AuditDraft
	// before is the last entry of the chain when the transaction began; head the last
	// one that it adds.
	before, head audit.Head
	dictionaries *dictionaries
}

func newWriter(db *database.DB, chain string) *writer {
	w := &writer{db: db, chain: chain, owner: ownership{lost: make(chan struct{})}, dictionaries: newDictionaries()}
	w.committer = group.New[*txn](w)
	return w
}

// do runs one unit of work. doing describes it in errors.
func (w *writer) do(ctx context.Context, doing string, run func(*txn) error) error {
	return w.committer.Do(ctx, func(t *txn) error { return t.guard(doing, run) })
}

// guard gives an error its code, and lets the rest of the transaction go on
// when nothing was written. Drafts of a failed unit are dropped.
func (t *txn) guard(doing string, run func(*txn) error) error {
	writes, drafts := t.Writes, len(t.drafts)
	err := run(t)
	if err == nil {
		return nil
	}
	t.drafts = t.drafts[:drafts]
	coded := database.Error(doing, err)
	if t.Writes == writes && !t.Failed {
		return group.Refuse(coded)
	}
	return coded
}

func (t *txn) audit(drafts ...AuditDraft) { t.drafts = append(t.drafts, drafts...) }

// What a transaction reads as it begins, under the writers' lock: so several
// processes can extend one chain, and a former owner writes nothing.
const (
	readHead  = "SELECT (SELECT seq FROM audit ORDER BY seq DESC LIMIT 1), (SELECT hash FROM audit ORDER BY seq DESC LIMIT 1)"
	readTag   = ", (SELECT tag FROM dictionaries)"
	readOwner = ", (SELECT epoch FROM owner)"
)

// Begin starts a transaction, unless another process owns the side.
func (w *writer) Begin(careful bool) (*txn, error) {
	w.dictionaries.begin()
	t := &txn{dictionaries: w.dictionaries}
	var seq, tag, epoch sql.NullInt64
	entry := &database.Entry{Query: readHead, Into: []any{&seq, &t.before.Hash}}
	if w.chain != ChainControl {
		entry.Query, entry.Into = entry.Query+readTag, append(entry.Into, &tag)
	}
	if w.chain == ChainWork {
		entry.Query, entry.Into = entry.Query+readOwner, append(entry.Into, &epoch)
	}
	entry.Check = func() error {
		t.before.Seq = seq.Int64
		if err := w.owner.fence(epoch.Int64); err != nil {
			return err
		}
		return w.dictionaries.at(tag.Int64)
	}
	var err error
	t.Tx, err = w.db.Begin(careful, entry)
	return t, err
}

// Commit appends the audit entries and commits.
func (w *writer) Commit(t *txn) error {
	if err := w.append(t); err != nil {
		w.db.Rollback(t.Tx)
		return group.Undone(database.Error("write the audit log", err))
	}
	if err := w.db.Commit(t.Tx); err != nil {
		if errors.Is(err, database.ErrUndone) {
			err = group.Undone(err)
		}
		return err
	}
	if len(t.drafts) > 0 {
		w.head = t.head
	}
	w.dictionaries.learn()
	return nil
}

// Rollback undoes the transaction.
func (w *writer) Rollback(t *txn) { w.db.Rollback(t.Tx) }

// Idle gives the connection back.
func (w *writer) Idle() { w.db.Idle() }

// A cell's entries name their act instead of what it holds, and have no id.
var (
	auditRows = database.NewBulk("audit", "", append(auditColumns[:len(auditColumns):len(auditColumns)],
		database.Column{Name: "act", Type: database.Int})...)
	controlAuditRows = database.NewBulk("audit", "", append(auditColumns[:len(auditColumns):len(auditColumns)],
		database.Column{Name: "organization", Type: database.Text})...)
)

var auditColumns = []database.Column{
	{Name: "seq", Type: database.Int},
	{Name: "at", Type: database.Int},
	{Name: "id", Type: database.Text},
	{Name: "actor", Type: database.Text},
	{Name: "action", Type: database.Text},
	{Name: "target", Type: database.Text},
	{Name: "namespace", Type: database.Text},
	{Name: "detail_sealed", Type: database.Bytes},
	{Name: "hash", Type: database.Bytes},
}

// append links the transaction's drafts to the chain.
func (w *writer) append(t *txn) error {
	if len(t.drafts) == 0 {
		return nil
	}
	if err := t.Start(); err != nil {
		return err
	}
	if err := w.follows(t.before); err != nil {
		return err
	}
	head, control := t.before, w.chain == ChainControl
	at := now()
	rows := make([][]any, len(t.drafts))
	for i, d := range t.drafts {
		e := audit.Entry{
			Chain: w.chain, Seq: head.Seq + 1, At: at, Actor: d.Actor, Action: d.Action, Target: d.Target, Namespace: d.Namespace,
			Detail: d.DetailSealed, Prev: head.Hash,
		}
		var err error
		if control {
			e.ID, e.Organization = schema.NewID(schema.PrefixAudit), d.Organization
			rows[i] = []any{e.Seq, at.UnixMicro(), e.ID, e.Actor, e.Action, e.Target, e.Namespace, blob(e.Detail), nil, e.Organization}
		} else {
			if e.ID, err = entryID(e); err != nil {
				return err
			}
			number, err := w.dictionaries.acts.number(t, d.act())
			if err != nil {
				return err
			}
			rows[i] = []any{e.Seq, at.UnixMicro(), "", e.Actor, "", e.Target, "", blob(d.own()), nil, number}
		}
		e.Hash = e.Digest()
		rows[i][len(auditColumns)-1] = e.Hash
		head = e.Head()
	}
	t.head = head
	if control {
		return entire(controlAuditRows.All(t.Tx, rows))
	}
	return entire(auditRows.All(t.Tx, rows))
}

func entire(all bool, err error) error {
	if err == nil && !all {
		return schema.Errorf(schema.CodeInternal, "an entry of the audit log was not written")
	}
	return err
}

// follows refuses to go on after a head that is not the one this process
// wrote, or one that follows it: somebody cut or rewrote the log, and a chain
// that continues would hide it.
func (w *writer) follows(head audit.Head) error {
	if head.Seq < w.head.Seq || (head.Seq == w.head.Seq && !bytes.Equal(head.Hash, w.head.Hash)) {
		return audit.Finding{Chain: w.chain, Seq: w.head.Seq, What: "the last entry written is not there anymore"}.Err()
	}
	return nil
}

// blob keeps an absent value out of NOT NULL columns as an empty one.
func blob(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// some turns an empty column back into an absent value.
func some(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return b
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func fromMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}

func fromMicrosAt(n int64) *time.Time {
	if n == 0 {
		return nil
	}
	t := fromMicros(n)
	return &t
}

// now is the time of a row whose caller gave none, as exact as the database
// keeps it.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

func stamp(times ...*time.Time) {
	at := now()
	for _, t := range times {
		if t.IsZero() {
			*t = at
		} else {
			*t = t.UTC().Truncate(time.Microsecond)
		}
	}
}
