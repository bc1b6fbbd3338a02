package storetest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tenonhq/tenon/schema"
)

// Copy copies the databases of an organization's cell, which nobody uses
// meanwhile, as a backup does. Back puts the copy in their place, as often as it
// is called: whoever uses them then loses the connection.
func (b Backend) Copy(tb testing.TB, org string) (back func()) {
	tb.Helper()
	must := func(err error) {
		tb.Helper()
		if err != nil {
			tb.Fatalf("copy the databases of a cell: %v", err)
		}
	}
	if b.Name == "sqlite" {
		from, to := filepath.Join(b.Admin.Directory, org), filepath.Join(tb.TempDir(), "copy")
		must(os.CopyFS(to, os.DirFS(from)))
		return func() {
			tb.Helper()
			must(os.RemoveAll(from))
			must(os.CopyFS(from, os.DirFS(to)))
		}
	}
	cluster := Postgres(tb)
	name := "tenon_" + strings.TrimPrefix(org, string(schema.PrefixOrganization)+"_")
	restore := cluster.Copy(tb, name)
	return func() {
		tb.Helper()
		restore()
		// Who may connect belongs to the database and not to what is in it.
		must(cluster.exec("REVOKE ALL ON DATABASE " + name + " FROM PUBLIC"))
		must(cluster.exec("GRANT CONNECT ON DATABASE " + name + " TO " + name + "_api, " + name + "_cell"))
	}
}

// Copy copies a database that nobody uses meanwhile. Back puts the copy in its
// place, or where it was.
func (c *Cluster) Copy(tb testing.TB, name string) (back func()) {
	tb.Helper()
	must := func(statement string) {
		tb.Helper()
		if err := c.exec(statement); err != nil {
			tb.Fatalf("copy a database: %v", err)
		}
	}
	kept := name + "_copy"
	must("CREATE DATABASE " + kept + " TEMPLATE " + name)
	tb.Cleanup(func() { must("DROP DATABASE IF EXISTS " + kept) })
	return func() {
		tb.Helper()
		must("DROP DATABASE IF EXISTS " + name + " WITH (FORCE)")
		must("CREATE DATABASE " + name + " TEMPLATE " + kept)
	}
}
