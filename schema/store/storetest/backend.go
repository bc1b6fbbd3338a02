package storetest

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
)

// Backend is one kind of database, fresh for one test.
type Backend struct {
	// Name is "sqlite" or "postgres".
	Name string
	// ControlURL addresses an empty control database.
	ControlURL string
	// Admin makes the databases of cells.
	Admin store.Admin
}

// SQLite is a backend of files.
func SQLite(tb testing.TB) Backend {
	tb.Helper()
	directory := tb.TempDir()
	return Backend{
		Name: "sqlite", ControlURL: "sqlite:" + filepath.Join(directory, "control.db"),
		Admin: store.Admin{Directory: filepath.Join(directory, "cells")},
	}
}

// PostgreSQL is a backend on the cluster of this test binary.
func PostgreSQL(tb testing.TB) Backend {
	tb.Helper()
	address := Postgres(tb).Database(tb)
	return Backend{Name: "postgres", ControlURL: address, Admin: store.Admin{PostgresURL: address}}
}

// Each runs the test on both kinds of database.
func Each(t *testing.T, test func(*testing.T, Backend)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, PostgreSQL(t)) })
}

// Control opens the control database until the test ends.
func (b Backend) Control(tb testing.TB) *store.Control {
	tb.Helper()
	c, err := store.OpenControl(tb.Context(), b.ControlURL)
	if err != nil {
		tb.Fatalf("open the control database: %v", err)
	}
	tb.Cleanup(func() {
		if err := c.Close(); err != nil {
			tb.Errorf("close the control database: %v", err)
		}
	})
	return c
}

// Provision makes a new organization's databases. They are removed when the
// test ends.
func (b Backend) Provision(tb testing.TB) (org string, made store.Provisioned) {
	tb.Helper()
	org = schema.NewID(schema.PrefixOrganization)
	made, err := store.Provision(tb.Context(), b.Admin, org)
	if err != nil {
		tb.Fatalf("provision a cell: %v", err)
	}
	tb.Cleanup(func() {
		// The test's own context is over by now.
		if err := store.Deprovision(context.WithoutCancel(tb.Context()), b.Admin, org); err != nil {
			tb.Errorf("deprovision the cell: %v", err)
		}
	})
	return org, made
}

// Open opens a cell until the test ends.
func Open(tb testing.TB, urls store.CellURLs, writes store.Side) *store.Cell {
	tb.Helper()
	c, err := store.OpenCell(tb.Context(), urls, writes)
	if err != nil {
		tb.Fatalf("open the cell: %v", err)
	}
	tb.Cleanup(func() {
		if err := c.Close(); err != nil {
			tb.Errorf("close the cell: %v", err)
		}
	})
	return c
}

// Sides opens a new cell as the API and as the cell process do.
func (b Backend) Sides(tb testing.TB) (api, cell *store.Cell) {
	tb.Helper()
	_, made := b.Provision(tb)
	return Open(tb, made.API, store.SideAPI), Open(tb, made.Cell, store.SideCell)
}
