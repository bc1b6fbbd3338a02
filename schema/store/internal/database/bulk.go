package database

import (
	"strconv"
	"strings"

	"github.com/lib/pq"
)

// Type is a column's type in a [Bulk].
type Type string

// The types of columns.
const (
	Text  Type = "text"
	Bytes Type = "bytea"
	Int   Type = "bigint"
	Bool  Type = "boolean"
)

// Column is a column of a [Bulk].
type Column struct {
	Name string
	Type Type
}

// Bulk inserts many rows: on PostgreSQL with one prepared statement and one
// array for each column (bytes are one value, and arrays of where each begins and how
// many it has), so that it costs one round trip however many there
// are; on SQLite with one prepared statement a row.
type Bulk struct {
	columns []Column
	one     string
	many    string
	// all is many, and fails unless it changes as many rows as its last argument says.
	all string
}

// Condition is what a row must meet to be inserted: its columns, and Given, which are
// not inserted and come after them, are those of a table named fresh.
type Condition struct {
	Where string
	Given []Column
}

// NewBulk makes the statements once. The conflict clause may be empty.
func NewBulk(table, conflict string, columns ...Column) *Bulk {
	return NewBulkWhere(table, conflict, Condition{}, columns...)
}

// NewBulkWhere is NewBulk of rows that are left out unless they meet a condition; an empty
// one is none.
func NewBulkWhere(table, conflict string, condition Condition, inserted ...Column) *Bulk {
	columns := append(inserted[:len(inserted):len(inserted)], condition.Given...)
	names := make([]string, len(columns))
	marks := make([]string, len(columns))
	values := make([]string, len(columns))
	var arrays, fields []string
	for i, c := range columns {
		names[i], marks[i] = c.Name, "?"
		field := "v" + strconv.Itoa(i)
		if c.Type == Bytes {
			// An array of them would be read four times, letter by letter.
			values[i] = "substring(?::bytea, " + field + "a, " + field + "n)"
			arrays, fields = append(arrays, "?::int[]", "?::int[]"), append(fields, field+"a", field+"n")
			continue
		}
		values[i], arrays, fields = field, append(arrays, "?::"+string(c.Type)+"[]"), append(fields, field)
	}
	into := strings.Join(names[:len(inserted)], ", ")
	head := "INSERT INTO " + table + " (" + into + ") "
	if conflict != "" {
		conflict = " " + conflict
	}
	// Rows come out of unnest in the arrays' order, and sequence numbers are given in it.
	source := " FROM unnest(" + strings.Join(arrays, ", ") + ") AS v(" + strings.Join(fields, ", ") + ")"
	one, many := "VALUES ("+strings.Join(marks, ", ")+")", "SELECT "+strings.Join(values, ", ")+source
	if condition.Where != "" {
		met := func(values []string, source string) string {
			return "SELECT " + into + " FROM (SELECT " + named(values, names) + source + ") AS fresh WHERE " + condition.Where
		}
		one, many = met(marks, ""), met(values, source)
	}
	many = head + many + conflict
	return &Bulk{
		columns: columns,
		one:     head + one + conflict,
		many:    many,
		all:     "WITH changed AS (" + many + " RETURNING 1) SELECT 1 / (COUNT(*) = ?::bigint)::int FROM changed",
	}
}

func named(values, names []string) string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = v + " AS " + names[i]
	}
	return strings.Join(out, ", ")
}

// Insert inserts the rows and returns how many were changed.
func (b *Bulk) Insert(t *Tx, rows [][]any) (int64, error) {
	if len(rows) == 0 {
		return 0, nil
	}
	if t.Postgres() {
		n, _, err := t.Exec(b.many, b.arrays(rows)...)
		return n, err
	}
	var total int64
	for _, row := range rows {
		n, _, err := t.Exec(b.one, row...)
		if err != nil {
			return total, err
		}
		total += n
	}
	return total, nil
}

// InsertEach is Insert for SQLite, reporting each row's id, or 0 for a row
// that the conflict clause left out.
func (b *Bulk) InsertEach(t *Tx, rows [][]any) ([]int64, error) {
	ids := make([]int64, len(rows))
	for i, row := range rows {
		n, last, err := t.Exec(b.one, row...)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			ids[i] = last
		}
	}
	return ids, nil
}

// Returning is Insert for PostgreSQL with a RETURNING clause of a number and
// a text; it calls each for every row returned.
func (b *Bulk) Returning(t *Tx, rows [][]any, returning string, each func(int64, string)) error {
	t.Writes++
	found, err := t.Query(b.many+" RETURNING "+returning, b.arrays(rows)...)
	if err != nil {
		return err
	}
	defer found.Close() //nolint:errcheck // Err below tells
	for found.Next() {
		var n int64
		var s string
		if err := found.Scan(&n, &s); err != nil {
			return err
		}
		each(n, s)
	}
	if err := found.Err(); err != nil {
		t.Failed = true
		return err
	}
	return nil
}

// arrays are the arguments for many rows: the bytes of each column, one after the other,
// then its other columns, and of those bytes where each begins, from 1, and how many it has.
func (b *Bulk) arrays(rows [][]any) []any {
	bytes := make([]any, 0, len(b.columns))
	arrays := make([]any, 0, 2*len(b.columns))
	for i, c := range b.columns {
		switch c.Type {
		case Text:
			arrays = append(arrays, pq.StringArray(column[string](rows, i)))
		case Bytes:
			all, at, lengths := joined(column[[]byte](rows, i))
			bytes, arrays = append(bytes, all), append(arrays, at, lengths)
		case Int:
			arrays = append(arrays, pq.Int64Array(column[int64](rows, i)))
		case Bool:
			arrays = append(arrays, pq.BoolArray(column[bool](rows, i)))
		}
	}
	return append(bytes, arrays...)
}

func joined(values [][]byte) (all []byte, at, lengths pq.Int64Array) {
	at, lengths = make(pq.Int64Array, len(values)), make(pq.Int64Array, len(values))
	total := 0
	for i, v := range values {
		at[i], lengths[i] = int64(total)+1, int64(len(v))
		total += len(v)
	}
	all = make([]byte, 0, total)
	for _, v := range values {
		all = append(all, v...)
	}
	return all, at, lengths
}

func column[T any](rows [][]any, i int) []T {
	out := make([]T, len(rows))
	for r, row := range rows {
		out[r], _ = row[i].(T) // the zero value stands for nil
	}
	return out
}
