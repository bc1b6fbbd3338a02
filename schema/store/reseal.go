package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tenonhq/tenon/schema/store/internal/database"
)

// resealBatch is how many values are sealed anew in one transaction: other
// writers wait for no more than that.
const resealBatch = 100

// SealedValue is one ciphertext and the place that it is sealed for.
type SealedValue struct {
	Table, Row, Field string
	Sealed            []byte
}

// SealedCount counts the ciphertexts of one column under one key, by the key
// ids in their headers.
type SealedCount struct {
	Table, Column string
	Key           []byte
	Rows          int
}

// Retired is a key that nothing is sealed with anymore.
type Retired struct {
	ID []byte
	// At is when it was: what is older may be sealed with it.
	At time.Time
	// Clean: nothing that opens was left under it when all had been looked at.
	Clean bool
	// Broken are the values under it that do not open.
	Broken int
}

// resealer makes a value's new ciphertext; nil leaves the value as it is.
type resealer func(SealedValue) ([]byte, error)

// Reseal seals the values of the door anew that another key than the current one
// sealed, in batches beside other work. See [Work.Reseal].
func (d *Door) Reseal(ctx context.Context, current []byte, again func(SealedValue) ([]byte, error)) (int, error) {
	return d.s.reseal(ctx, current, again)
}

// Reseal seals the values of the work side anew that another key than the
// current one sealed, in batches beside other work. It may be ended anywhere and
// repeated. A value that was changed meanwhile keeps its change; one for which
// again returns nil stays. It returns how many were sealed anew.
func (w *Work) Reseal(ctx context.Context, current []byte, again func(SealedValue) ([]byte, error)) (int, error) {
	return w.s.reseal(ctx, current, again)
}

func (s *side) reseal(ctx context.Context, current []byte, again resealer) (int, error) {
	total := 0
	for _, c := range sealedOf(s.chain) {
		if c.pair {
			continue
		}
		n, err := s.resealColumn(ctx, c, current, again)
		total += n
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// found is a value with the key of its row.
type found struct {
	SealedValue
	key []any
}

func (s *side) resealColumn(ctx context.Context, c sealedColumn, current []byte, again resealer) (int, error) {
	total := 0
	var after []any
	for {
		batch, err := s.under(ctx, c, current, after)
		if err != nil || len(batch) == 0 {
			return total, err
		}
		after = batch[len(batch)-1].key
		fresh := make([][]byte, len(batch))
		for i, v := range batch {
			if fresh[i], err = again(v.SealedValue); err != nil {
				return total, err
			}
		}
		err = s.w.do(ctx, "seal values anew", func(t *txn) error {
			for i, v := range batch {
				if fresh[i] == nil {
					continue
				}
				changed, _, err := t.Exec(c.update(), append(append([]any{fresh[i]}, v.key...), v.Sealed)...)
				if err != nil {
					return err
				}
				total += int(changed)
			}
			return nil
		})
		if err != nil {
			return total, err
		}
	}
}

// under reads the next values that another key than the current one sealed.
func (s *side) under(ctx context.Context, c sealedColumn, current []byte, after []any) ([]found, error) {
	query := c.selectUnder(after != nil)
	args := append([]any{current}, after...)
	rows, err := s.Query(ctx, query, append(args, resealBatch)...)
	return collect("find what another key sealed", rows, err, func(row scanner) (found, error) {
		v := found{SealedValue: SealedValue{Table: c.place()}, key: make([]any, len(c.key))}
		into := []any{&v.Row, &v.Field, &v.Sealed}
		for i := range v.key {
			into = append(into, &v.key[i])
		}
		return v, row.Scan(into...)
	})
}

func (c sealedColumn) selectUnder(after bool) string {
	keys := "t." + strings.Join(c.key, ", t.")
	from := ""
	if after {
		from = fmt.Sprintf(" AND (%s) > (%s)", keys, strings.TrimSuffix(strings.Repeat("?, ", len(c.key)), ", "))
	}
	return fmt.Sprintf("SELECT %s, %s, t.%s, %s FROM %s WHERE length(t.%s) > 0 AND substr(t.%s, 3, 8) <> ?%s ORDER BY %s LIMIT ?",
		c.row, c.field, c.column, keys, c.source(), c.column, c.column, from, keys)
}

func (c sealedColumn) update() string {
	return fmt.Sprintf("UPDATE %s SET %s = ? WHERE %s = ? AND %s = ?", c.table, c.column, strings.Join(c.key, " = ? AND "), c.column)
}

// SealedUnder counts the door's ciphertexts by the keys that sealed them, those of
// its audit log included.
func (d *Door) SealedUnder(ctx context.Context) ([]SealedCount, error) { return d.s.sealedUnder(ctx) }

// SealedUnder counts the work side's ciphertexts by the keys that sealed them,
// those of its audit log included.
func (w *Work) SealedUnder(ctx context.Context) ([]SealedCount, error) { return w.s.sealedUnder(ctx) }

func (s *side) sealedUnder(ctx context.Context) ([]SealedCount, error) {
	var out []SealedCount
	for _, c := range slices.Concat(sealedOf(s.chain), auditSealed) {
		rows, err := s.Query(ctx, fmt.Sprintf("SELECT substr(%s, 3, 8), COUNT(*) FROM %s WHERE length(%s) > 0 GROUP BY 1 ORDER BY 1", c.column, c.table, c.column))
		counts, err := collect("count what each key sealed", rows, err, func(row scanner) (SealedCount, error) {
			n := SealedCount{Table: c.place(), Column: c.column}
			return n, row.Scan(&n.Key, &n.Rows)
		})
		if err != nil {
			return nil, err
		}
		out = append(out, counts...)
	}
	return out, nil
}

// Retire forbids, for good, that anything is sealed with the keys. See [Work.Retire].
func (d *Door) Retire(ctx context.Context, kind string, ids [][]byte, a AuditDraft) error {
	return d.s.retire(ctx, kind, ids, a)
}

// Retire forbids, for good, that anything is sealed with the keys: a process
// that was away and wakes up late is refused with CodeUnavailable, so that what it
// would acknowledge is not lost with the key. Keys that are retired already stay
// as they are, and then nothing is recorded.
func (w *Work) Retire(ctx context.Context, kind string, ids [][]byte, a AuditDraft) error {
	return w.s.retire(ctx, kind, ids, a)
}

func (s *side) retire(ctx context.Context, kind string, ids [][]byte, a AuditDraft) error {
	return s.w.do(ctx, "retire keys", func(t *txn) error {
		fresh := int64(0)
		for _, id := range ids {
			n, _, err := t.Exec(`INSERT INTO retired_keys (id, kind, at, clean_at, broken) VALUES (?, ?, ?, 0, 0) ON CONFLICT (id) DO NOTHING`,
				id, kind, now().UnixMicro())
			if err != nil {
				return err
			}
			fresh += n
		}
		if fresh > 0 {
			t.audit(a)
		}
		return nil
	})
}

// Cleaned records that nothing which opens is left in the door under the keys. See [Work.Cleaned].
func (d *Door) Cleaned(ctx context.Context, ids [][]byte, broken int, a AuditDraft) error {
	return d.s.cleaned(ctx, ids, broken, a)
}

// Cleaned records that nothing which opens is left on the work side under the
// retired keys, and how many values do not.
func (w *Work) Cleaned(ctx context.Context, ids [][]byte, broken int, a AuditDraft) error {
	return w.s.cleaned(ctx, ids, broken, a)
}

func (s *side) cleaned(ctx context.Context, ids [][]byte, broken int, a AuditDraft) error {
	return s.w.do(ctx, "record that keys are not used anymore", func(t *txn) error {
		fresh := int64(0)
		for _, id := range ids {
			n, _, err := t.Exec("UPDATE retired_keys SET clean_at = ?, broken = ? WHERE id = ? AND clean_at = 0", now().UnixMicro(), broken, id)
			if err != nil {
				return err
			}
			fresh += n
		}
		if fresh > 0 {
			t.audit(a)
		}
		return nil
	})
}

// Retired lists the keys that are retired in the door.
func (d *Door) Retired(ctx context.Context) ([]Retired, error) { return d.s.retired(ctx) }

// Retired lists the keys that are retired on the work side.
func (w *Work) Retired(ctx context.Context) ([]Retired, error) { return w.s.retired(ctx) }

func (s *side) retired(ctx context.Context) ([]Retired, error) {
	rows, err := s.Query(ctx, "SELECT id, at, clean_at, broken FROM retired_keys ORDER BY at, id")
	return collect("list the retired keys", rows, err, func(row scanner) (Retired, error) {
		var r Retired
		var at, clean int64
		err := row.Scan(&r.ID, &at, &clean, &r.Broken)
		r.At, r.Clean = fromMicros(at), clean > 0
		return r, err
	})
}

// refuseRetired is CodeUnavailable when a credential was sealed to a retired pair:
// nobody could open it once the pair is destroyed.
func (t *txn) refuseRetired(id []byte) error {
	var n int
	if err := t.QueryRow("SELECT COUNT(*) FROM retired_keys WHERE id = ?", []any{id}, &n); err != nil || n == 0 {
		return err
	}
	return database.Retired("save the credential")
}
