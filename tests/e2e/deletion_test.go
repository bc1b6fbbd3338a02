package e2e

import (
	"bytes"
	"context"
	"database/sql"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	_ "github.com/lib/pq"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/store/storetest"
	"github.com/tenonhq/tenon/schema/token"
)

// allCopied copies every database of the platform while nothing runs: the cell's,
// the control database and the engine's.
func (s *shop) allCopied(t *testing.T) (back func()) {
	t.Helper()
	cell := s.copied(t)
	if len(s.p.env) > 0 {
		control, err := url.Parse(strings.TrimPrefix(s.p.env[0], "TENON_POSTGRES_URL="))
		require.NoError(t, err)
		name := strings.TrimPrefix(control.Path, "/")
		restores := []func(){storetest.Postgres(t).Copy(t, name)}
		for _, engine := range s.p.column(t, "SELECT datname FROM pg_database WHERE datname LIKE $1 AND datname <> $2 AND datname NOT LIKE '%_copy'", name+"%", name) {
			restores = append(restores, storetest.Postgres(t).Copy(t, engine))
		}
		roles := s.roles()
		base := strings.TrimSuffix(roles[0], "_api")
		// Like a dump, the copy does not hold on to the roles; the cell keeps them.
		s.p.query(t, base+"_copy", "DROP OWNED BY "+strings.Join(roles, ", "))
		s.p.column(t, "GRANT CONNECT ON DATABASE "+base+" TO "+strings.Join(roles, ", "))
		return func() {
			// As a restored server has them.
			for _, role := range roles {
				s.p.column(t, "CREATE ROLE "+role+" LOGIN")
			}
			for _, restore := range append(restores, cell) {
				restore()
			}
			t.Cleanup(func() {
				db, err := sql.Open("postgres", storetest.Postgres(t).URL("postgres"))
				require.NoError(t, err)
				defer func() { _ = db.Close() }()
				statements := []string{"DROP DATABASE " + base + " WITH (FORCE)"}
				for _, role := range roles {
					statements = append(statements, "DROP OWNED BY "+role, "DROP ROLE "+role)
				}
				for _, statement := range statements {
					_, err := db.ExecContext(context.WithoutCancel(t.Context()), statement)
					require.NoError(t, err, statement)
				}
			})
		}
	}
	kept := t.TempDir()
	for _, dir := range []string{"control", "engine"} {
		require.NoError(t, os.CopyFS(filepath.Join(kept, dir), os.DirFS(filepath.Join(s.p.data, dir))))
	}
	return func() {
		for _, dir := range []string{"control", "engine"} {
			require.NoError(t, os.RemoveAll(filepath.Join(s.p.data, dir)))
			require.NoError(t, os.CopyFS(filepath.Join(s.p.data, dir), os.DirFS(filepath.Join(kept, dir))))
		}
		cell()
	}
}

// roles are those of the cell on PostgreSQL.
func (s *shop) roles() []string {
	name := "tenon_" + strings.TrimPrefix(s.org, string(schema.PrefixOrganization)+"_")
	return []string{name + "_api", name + "_cell"}
}

func (p *platform) column(t *testing.T, query string, args ...any) []string {
	t.Helper()
	return p.query(t, "postgres", query, args...)
}

func (p *platform) query(t *testing.T, database, query string, args ...any) []string {
	t.Helper()
	db, err := sql.Open("postgres", storetest.Postgres(t).URL(database))
	require.NoError(t, err)
	defer func() { _ = db.Close() }()
	return storetest.Column(t, db, query, args...)
}

// TestDeletedWhileHostsDie deletes an organization of a running platform whose
// host is killed with -9 again and again meanwhile. Nothing of it is left; and
// when every database is put back as it was before, its control database's word
// that it is active included, nothing of it opens.
func TestDeletedWhileHostsDie(t *testing.T) {
	t.Parallel()
	for _, db := range databases() {
		t.Run(db.name, func(t *testing.T) {
			t.Parallel()
			const canary = "canary-93b1-order"
			p := newPlatform(t, db.env(t)...)
			p.start(t)
			s := newShop(t, p, ledger.Keys, map[string]string{"now": billing(""), "later": billing(waiting(time.Hour))})
			s.accepted(t, "now", canary)
			s.accepted(t, "later", canary+"-waits")
			s.reach(t, 20*time.Second, "completed", 1)
			s.reach(t, 20*time.Second, "waiting", 1)
			p.stop(t)
			back := s.allCopied(t)
			p.start(t)

			admin := p.administrator(t)
			p.must(t, admin, "", http.MethodDelete, "/v1/organizations/"+s.org+"?confirm="+s.org, 202, nil, nil)
			killed, rng := 0, rand.New(rand.NewPCG(7, 9))
			pause := time.NewTimer(0)
			defer pause.Stop()
			eventually(t, 3*time.Minute, "the organization is gone", func() bool {
				status, _, err := p.call(t, admin, "", http.MethodGet, "/v1/organizations/"+s.org, nil)
				require.NoError(t, err)
				select {
				case <-pause.C:
					for pid, name := range p.processes(t) {
						if name == "host" && killed < 4 && status == 200 {
							require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
							killed++
						}
					}
					pause.Reset(time.Duration(1000+rng.IntN(2000)) * time.Millisecond)
				default:
				}
				return status == http.StatusNotFound
			})
			require.Positive(t, killed)
			s.nothingLeft(t)
			p.stop(t)

			back()
			p.start(t)
			// The host finds an active cell whose keys are nowhere.
			eventually(t, 20*time.Second, "the host looks for its keys", func() bool {
				return strings.Contains(p.logs(), "organization "+s.org+" has no keys")
			})
			status, _ := s.order(t, "now", "again")
			require.Equal(t, http.StatusServiceUnavailable, status)
			require.Empty(t, p.cellProcesses(t, p.cmd.Process.Pid))
			keys, err := keystore.Open(filepath.Join(p.data, "keystore"))
			require.NoError(t, err)
			_, err = keys.Get(t.Context(), s.org)
			require.Equal(t, schema.CodeNotFound, schema.CodeOf(err), "none were made in their place")
			s.bills(t, canary)
			p.stop(t)
			require.NoError(t, filepath.WalkDir(p.data, func(path string, d fs.DirEntry, err error) error {
				if err != nil || !d.Type().IsRegular() {
					return err
				}
				text, err := os.ReadFile(path)
				require.NotContains(t, string(bytes.ToValidUTF8(text, nil)), canary, path)
				return err
			}))
		})
	}
}

// nothingLeft looks for what a deleted organization could have left.
func (s *shop) nothingLeft(t *testing.T) {
	t.Helper()
	left := func(dir string) (n int) {
		entries, err := os.ReadDir(filepath.Join(s.p.data, dir))
		require.NoError(t, err)
		for _, e := range entries {
			if strings.Contains(e.Name(), s.org) {
				n++
			}
		}
		return n
	}
	require.Zero(t, left("keystore"))
	require.Zero(t, left("cells"))
	// Each host tidies its own machine, one that has just come in some seconds.
	eventually(t, 30*time.Second, "the sockets' directory is gone", func() bool { return left(filepath.Join("run", "cells")) == 0 })
	if len(s.p.env) > 0 {
		name := strings.TrimSuffix(s.roles()[0], "_api")
		require.Empty(t, s.p.column(t, "SELECT datname FROM pg_database WHERE datname = $1", name))
		require.Empty(t, s.p.column(t, "SELECT rolname FROM pg_roles WHERE rolname LIKE $1", name+"%"))
	}
	signer, err := token.LoadSigner(filepath.Join(s.p.data, "keys", "engine-token.key"))
	require.NoError(t, err)
	minted, err := signer.Mint(token.Claims{Subject: "test", Role: token.RoleSystem, Expires: time.Now().Add(time.Minute)})
	require.NoError(t, err)
	namespaces, err := client.NewNamespaceClient(client.Options{
		HostPort: s.p.engine, Credentials: client.NewAPIKeyStaticCredentials(minted), ConnectionOptions: client.ConnectionOptions{TLSDisabled: true},
		Logger: sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	require.NoError(t, err)
	defer namespaces.Close()
	_, err = namespaces.Describe(t.Context(), s.org)
	require.ErrorAs(t, err, new(*serviceerror.NamespaceNotFound))
}
