package store

import (
	"context"
	"database/sql"

	"github.com/uptrace/bun"

	"github.com/tenonhq/tenon/schema/store/internal/database"
)

// record is a model that bun loads.
type record[T any] interface {
	*T
	utc()
}

// one loads the row that the query finds, or CodeNotFound.
func one[T any, P record[T]](ctx context.Context, db bun.IDB, what string, where func(*bun.SelectQuery) *bun.SelectQuery) (T, error) {
	var out T
	err := where(db.NewSelect().Model(&out)).Limit(1).Scan(ctx)
	if err != nil {
		return out, database.Error("find the "+what, err)
	}
	P(&out).utc()
	return out, nil
}

// many loads the rows that the query finds.
func many[T any, P record[T]](ctx context.Context, db bun.IDB, what string, where func(*bun.SelectQuery) *bun.SelectQuery) ([]T, error) {
	out := []T{}
	if err := where(db.NewSelect().Model(&out)).Scan(ctx); err != nil {
		return nil, database.Error("list the "+what, err)
	}
	for i := range out {
		P(&out[i]).utc()
	}
	return out, nil
}

// insert adds a row.
func (t *txn) insert(model any) error {
	db, ctx := t.Write()
	if _, err := db.NewInsert().Model(model).Exec(ctx); err != nil {
		t.Failed = true
		return err
	}
	return nil
}

// change runs an update or delete and wants it to find a row.
func (t *txn) change(build func(bun.IDB) query) error {
	db, ctx := t.Write()
	res, err := build(db).Exec(ctx)
	if err != nil {
		t.Failed = true
		return err
	}
	n, err := res.RowsAffected()
	if err != nil {
		return err
	}
	if n == 0 {
		// Nothing was changed: the transaction of the others may go on.
		t.Writes--
		return sql.ErrNoRows
	}
	return nil
}

// query is an update or a delete of bun.
type query interface {
	Exec(ctx context.Context, dest ...any) (sql.Result, error)
}

// scanner is a row of a prepared query.
type scanner interface{ Scan(dest ...any) error }

// collect reads all rows of a prepared query.
func collect[T any](what string, rows *sql.Rows, err error, scan func(scanner) (T, error)) ([]T, error) {
	if err != nil {
		return nil, database.Error(what, err)
	}
	defer rows.Close() //nolint:errcheck // Err below tells
	out := []T{}
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, database.Error(what, err)
		}
		out = append(out, v)
	}
	if err := rows.Err(); err != nil {
		return nil, database.Error(what, err)
	}
	return out, nil
}

// single is collect for a query of at most one row.
func single[T any](what string, rows *sql.Rows, err error, scan func(scanner) (T, error)) (T, error) {
	all, err := collect(what, rows, err, scan)
	if err != nil || len(all) == 0 {
		var none T
		if err == nil {
			err = database.Error(what, sql.ErrNoRows)
		}
		return none, err
	}
	return all[0], nil
}
