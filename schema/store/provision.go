package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/tenonhq/tenon/schema"
)

// Admin is where the databases of cells are made. With PostgresURL they are
// PostgreSQL databases, else SQLite files.
type Admin struct {
	// Directory holds a folder for each cell on SQLite.
	Directory string
	// PostgresURL names a role that may create databases and roles.
	PostgresURL string
}

// Provisioned are the addresses of a cell for each of its two roles. On
// PostgreSQL they hold passwords.
type Provisioned struct {
	API  CellURLs
	Cell CellURLs
}

// Provision makes an organization's databases, or brings those that are there
// up to date. On PostgreSQL each call gives the roles new passwords, and the
// addresses of earlier calls end to work.
func Provision(ctx context.Context, admin Admin, org string) (Provisioned, error) {
	if err := schema.CheckID(schema.PrefixOrganization, org); err != nil {
		return Provisioned{}, err
	}
	if admin.PostgresURL != "" {
		return provisionPostgres(ctx, admin.PostgresURL, org)
	}
	urls, err := cellFiles(admin, org)
	if err != nil {
		return Provisioned{}, err
	}
	for _, url := range []string{urls.Door, urls.Work} {
		if err := os.MkdirAll(filepath.Dir(url[len(sqliteScheme):]), 0o700); err != nil {
			return Provisioned{}, schema.Errorf(schema.CodeUnavailable, "the cell's folder cannot be made: %w", err)
		}
	}
	cell, err := OpenCell(ctx, urls, SideBoth)
	if err != nil {
		return Provisioned{}, err
	}
	if err := cell.Close(); err != nil {
		return Provisioned{}, err
	}
	return Provisioned{API: urls, Cell: urls}, nil
}

// MigrateCell brings a provisioned cell's databases up to date. It changes nobody's
// password, so that it may run beside those who use them, and is CodeConflict
// for a database that a newer binary migrated.
func MigrateCell(ctx context.Context, admin Admin, org string) error {
	if err := schema.CheckID(schema.PrefixOrganization, org); err != nil {
		return err
	}
	if admin.PostgresURL != "" {
		return migratePostgres(ctx, admin.PostgresURL, org)
	}
	urls, err := cellFiles(admin, org)
	if err != nil {
		return err
	}
	cell, err := OpenCell(ctx, urls, SideBoth)
	if err != nil {
		return err
	}
	return cell.Close()
}

// Deprovision removes an organization's databases and roles. It may be
// repeated.
func Deprovision(ctx context.Context, admin Admin, org string) error {
	if err := schema.CheckID(schema.PrefixOrganization, org); err != nil {
		return err
	}
	if admin.PostgresURL != "" {
		return deprovisionPostgres(ctx, admin.PostgresURL, org)
	}
	urls, err := cellFiles(admin, org)
	if err != nil {
		return err
	}
	folder := filepath.Dir(filepath.Dir(urls.Door[len(sqliteScheme):]))
	if err := os.RemoveAll(folder); err != nil && !errors.Is(err, os.ErrNotExist) {
		return schema.Errorf(schema.CodeUnavailable, "the cell's folder cannot be removed: %w", err)
	}
	return nil
}

// cellFiles gives each side a folder of its own, so that a process can be
// confined to writing one of them: SQLite makes files beside the database.
func cellFiles(admin Admin, org string) (CellURLs, error) {
	if !filepath.IsAbs(admin.Directory) {
		return CellURLs{}, schema.Errorf(schema.CodeInvalid, "the directory of the cells must be an absolute path")
	}
	folder := filepath.Join(admin.Directory, org)
	return CellURLs{
		Door: sqliteScheme + filepath.Join(folder, "door", "door.db"),
		Work: sqliteScheme + filepath.Join(folder, "work", "work.db"),
	}, nil
}
