package activities

import (
	"database/sql"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/nacl/box"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
)

// vault is a rig whose cell follows the API's commands, and an administrator
// with SQL beside them.
type vault struct {
	*rig
	p          *process
	door, work *sql.DB
}

func newVault(r *rig) *vault {
	r.Helper()
	v := &vault{rig: r, p: r.process(), door: r.backend.Administrator(r.T, r.made, "door"), work: r.backend.Administrator(r.T, r.made, "work")}
	v.follow()
	return v
}

// follow does what the relay does with commands, and waits for the test calls.
func (v *vault) follow() {
	v.Helper()
	work := v.cell.Work()
	cursor, err := work.Cursor(v.Context(), store.CursorCommands)
	require.NoError(v, err)
	commands, err := v.cell.Door().CommandsAfter(v.Context(), cursor, 1000)
	require.NoError(v, err)
	for _, c := range commands {
		var args config.CredentialCommand
		plain, err := v.data.Open(place.Command(v.org, c.ID), c.ArgsSealed)
		require.NoError(v, err)
		require.NoError(v, json.Unmarshal(plain, &args))
		require.NoError(v, v.p.Told(v.Context(), c, args))
		v.eventually("the test call ends", func() bool {
			v.p.custody.mu.Lock()
			defer v.p.custody.mu.Unlock()
			return len(v.p.custody.tests) == 0
		})
	}
}

// restart is the next process of the cell: it knows what is on disk only.
func (v *vault) restart() { v.p = v.process() }

// save enters the next version beside keep, as the API does.
func (v *vault) save(connection string, version, keep int, token string) {
	v.Helper()
	inner, err := seal.SealCredential(v.private.Public(), seal.Credential{
		Organization: v.org, Connection: connection, Version: version, Use: v.setup.Use, Values: map[string]string{"token": token},
	})
	require.NoError(v, err)
	v.entered(connection, version, keep, v.data.Seal(place.Credential(v.org, connection, version), inner))
	v.follow()
}

// known is what the cell has on disk of a connection.
func (v *vault) known(connection string) config.Custody {
	v.Helper()
	row, err := v.cell.Work().GetCustody(v.Context(), connection)
	require.NoError(v, err)
	plain, err := v.data.Open(place.Custody(v.org, connection), row.RecordSealed)
	require.NoError(v, err)
	var k config.Custody
	require.NoError(v, json.Unmarshal(plain, &k))
	return k
}

// bill makes a bill over the connection and returns the problem it ended with.
func (v *vault) bill(connection string) string {
	v.Helper()
	n := v.start(v.deploy(`
do:
  - call:
      call: http
      with:
        method: post
        endpoint: { uri: /bills, authentication: { use: `+connection+` } }
        body:
          order: ${ .order }
          supplier: sup-100
          currency: EUR
          lines: [{ sku: A1, description: Oak, quantity: 2, unit_price_cents: 1050 }]
`), `{"order":"O-`+schema.NewID(schema.PrefixRun)+`"}`)
	res := v.p.done(n.whole("/do/0/call"))
	if res.Fault == nil {
		return ""
	}
	require.Equal(v, flow.TypeAuthorization, res.Fault.Type, v.p.value(n, res.Fault.Ref))
	require.Empty(v, n.effects())
	return v.p.value(n, res.Fault.Ref)
}

func (v *vault) exec(db *sql.DB, statements ...string) {
	v.Helper()
	for _, s := range statements {
		_, err := db.ExecContext(v.Context(), s)
		require.NoError(v, err, s)
	}
}

func (v *vault) audited(action, target string) int {
	v.Helper()
	entries, err := v.cell.Work().ListAudit(v.Context(), store.AuditFilter{Action: action, Target: target})
	require.NoError(v, err)
	return len(entries)
}

// TestTamperingSuspends has an administrator with SQL, and an API that does what
// it likes with all that its process holds, go for a credential. Nothing is sent,
// the run is told, it is on the record, and the connection is suspended until
// somebody enters the credential again (invariants 1 and 3).
func TestTamperingSuspends(t *testing.T) {
	t.Parallel()
	changed := func(change func(*seal.Use)) func(*vault, store.Connection) {
		return func(v *vault, c store.Connection) {
			setup := v.setup
			setup.Use.Hosts = append([]string(nil), setup.Use.Hosts...)
			change(&setup.Use)
			v.resettle(c, setup)
		}
	}
	attacks := []struct {
		name   string
		tamper func(v *vault, c store.Connection)
	}{
		{"SQL: two credentials are swapped", func(v *vault, c store.Connection) {
			other := v.connect("other-"+c.Name, v.setup)
			v.save(other.ID, 1, 0, v.book.Token())
			v.exec(v.door,
				`UPDATE credentials SET version = 100 WHERE connection = '`+c.ID+`'`,
				`UPDATE credentials SET connection = '`+c.ID+`' WHERE connection = '`+other.ID+`'`,
				`UPDATE credentials SET connection = '`+other.ID+`', version = 1 WHERE connection = '`+c.ID+`' AND version = 100`)
			require.Contains(v, v.bill("other-"+c.Name), "suspended")
		}},
		{"SQL: one that was sealed with the public key is planted", func(v *vault, c store.Connection) {
			v.plant(c.ID, 1, v.sealed(c.ID, 1, v.setup.Use))
		}},
		{"SQL: one is planted as a newer version", func(v *vault, c store.Connection) {
			v.exec(v.door, `INSERT INTO credentials (id, connection, version, sealed, state, created_by, created_at)
SELECT 'cred_x', connection, 2, sealed, state, created_by, created_at FROM credentials WHERE connection = '`+c.ID+`'`,
				`UPDATE credentials SET id = '`+schema.NewID(schema.PrefixCredential)+`' WHERE id = 'cred_x'`,
				`UPDATE connections SET credential_version = 2 WHERE id = '`+c.ID+`'`)
			v.plant(c.ID, 2, v.sealed(c.ID, 2, v.setup.Use))
		}},
		{"SQL: an older version is put back", func(v *vault, c store.Connection) {
			old, err := v.api.Door().GetCredential(v.Context(), c.ID, 1)
			require.NoError(v, err)
			v.save(c.ID, 2, 1, v.book.Token())
			require.Empty(v, v.bill(c.Name))
			_, err = v.api.Door().DestroyReplaced(v.Context(), c.ID, v.known(c.ID).Floor, draft())
			require.NoError(v, err)
			v.exec(v.door, `DELETE FROM credentials WHERE connection = '`+c.ID+`' AND version = 2`,
				`UPDATE credentials SET state = 'current' WHERE connection = '`+c.ID+`'`,
				`UPDATE connections SET credential_version = 1 WHERE id = '`+c.ID+`'`)
			v.plant(c.ID, 1, old.Sealed)
		}},
		{"SQL: a revoked one is put back, and the cell started anew", func(v *vault, c store.Connection) {
			old, err := v.api.Door().GetCredential(v.Context(), c.ID, 1)
			require.NoError(v, err)
			require.NoError(v, v.api.Door().RevokeCredentials(v.Context(), store.Revocation{
				Connection: c.ID, Told: v.told(config.CredentialCommand{Connection: c.ID, Act: config.CredentialRevoked, Version: 1}), Audit: draft(),
			}))
			v.follow()
			require.Contains(v, v.bill(c.Name), "revoked")
			v.exec(v.door, `UPDATE credentials SET state = 'current' WHERE connection = '`+c.ID+`'`)
			v.plant(c.ID, 1, old.Sealed)
			v.restart()
		}},
		{"SQL: it is taken out of the record", func(v *vault, c store.Connection) {
			v.exec(v.door, `DELETE FROM credentials WHERE connection = '`+c.ID+`'`,
				`UPDATE connections SET credential_version = 0 WHERE id = '`+c.ID+`'`)
		}},
		{"SQL: the settings of another connection", func(v *vault, c store.Connection) {
			v.exec(v.door, `UPDATE connections SET settings_sealed = (SELECT settings_sealed FROM connections AS o WHERE o.id = '`+v.conn.ID+`') WHERE id = '`+c.ID+`'`)
		}},
		{"API: another host", changed(func(u *seal.Use) { u.Hosts = []string{"evil.example"} })},
		{"API: one more host", changed(func(u *seal.Use) { u.Hosts = append(u.Hosts, "evil.example") })},
		{"API: another path", changed(func(u *seal.Use) { u.PathPrefix = "/suppliers" })},
		{"API: no authority of its own", changed(func(u *seal.Use) { u.CA = "" })},
		{"API: another place in the request", changed(func(u *seal.Use) { u.Inject = seal.Injection{Scheme: seal.SchemeQuery, Name: "order"} })},
		{"API: without TLS", changed(func(u *seal.Use) { u.PlainHTTP = true })},
		{"API: a credential for another host, under this one", func(v *vault, c store.Connection) {
			use := v.setup.Use
			use.Hosts = []string{"evil.example"}
			v.plant(c.ID, 1, v.data.Seal(place.Credential(v.org, c.ID, 1), v.sealed(c.ID, 1, use)))
		}},
		{"API: another connection's, wrapped for this place", func(v *vault, c store.Connection) {
			row, err := v.api.Door().GetCredential(v.Context(), v.conn.ID, 1)
			require.NoError(v, err)
			inner, err := v.data.Open(place.Credential(v.org, v.conn.ID, 1), row.Sealed)
			require.NoError(v, err, "a data key is all that it takes to get so far")
			v.plant(c.ID, 1, v.data.Seal(place.Credential(v.org, c.ID, 1), inner))
		}},
	}
	each(t, ledger.Keys, func(r *rig) {
		v := newVault(r)
		for i, a := range attacks {
			c := v.connect("victim-"+string(rune('a'+i)), v.setup)
			v.save(c.ID, 1, 0, v.book.Token())
			require.Empty(v, v.bill(c.Name), a.name)
			kept, err := v.api.Door().GetConnection(v.Context(), v.namespace, c.ID)
			require.NoError(v, err)
			a.tamper(v, c)
			before := v.book.Stats()

			told := v.bill(c.Name)
			require.Contains(v, told, "suspended", a.name)
			require.Equal(v, before, v.book.Stats(), "%s: something was sent", a.name)
			require.NotContains(v, told+v.logged(), canary)
			require.NotContains(v, told+v.logged(), v.book.Token())
			require.Equal(v, 1, v.audited("connection.suspended", c.ID), a.name)
			k := v.known(c.ID)
			require.NotNil(v, k.Suspension, a.name)

			// It stays so, for the next process too, and is recorded once.
			v.restart()
			require.Contains(v, v.bill(c.Name), "suspended", a.name)
			require.Equal(v, 1, v.audited("connection.suspended", c.ID), a.name)
			require.Equal(v, before, v.book.Stats(), a.name)

			// Right settings and a new version end it.
			v.resettle(c, v.setup)
			next := k.Suspension.Version + 1
			v.exec(v.door, `UPDATE connections SET credential_version = `+string(rune('0'+next-1))+` WHERE id = '`+kept.ID+`'`)
			v.save(c.ID, next, 0, v.book.Token())
			require.Empty(v, v.bill(c.Name), a.name)
			require.Equal(v, 1, v.audited("connection.resumed", c.ID), a.name)
		}
	})
}

// plant writes a ciphertext behind the API's back.
func (v *vault) plant(connection string, version int, sealed []byte) {
	v.Helper()
	query := `UPDATE credentials SET sealed = ? WHERE connection = ? AND version = ?`
	if v.backend.Name == "postgres" {
		query = `UPDATE credentials SET sealed = $1 WHERE connection = $2 AND version = $3`
	}
	res, err := v.door.ExecContext(v.Context(), query, sealed, connection, version)
	require.NoError(v, err)
	n, err := res.RowsAffected()
	require.NoError(v, err)
	require.EqualValues(v, 1, n)
}

// TestOtherBaseAddress: an API that changes the connector's settings has nothing
// sent to another host either, for the credential is bound to its own.
func TestOtherBaseAddress(t *testing.T) {
	t.Parallel()
	each(t, ledger.Keys, func(r *rig) {
		v := newVault(r)
		setup := v.setup
		setup.Settings = json.RawMessage(`{"base_url":"https://evil.example"}`)
		v.resettle(v.conn, setup)
		require.Contains(v, v.bill("books"), "its base address is on none of the hosts")
		require.Zero(v, v.book.Stats().Creations)
		require.Equal(v, 1, v.audited("connection.suspended", v.conn.ID))
		v.resettle(v.conn, v.setup)
		require.Contains(v, v.bill("books"), "suspended", "until its credential is entered again")
		v.save(v.conn.ID, 2, 0, v.book.Token())
		require.Empty(v, v.bill("books"))
	})
}

// TestTheAPIOpensNothing: with all that its process holds - its own private key,
// the cell's data key, every row - the API gets as far as the sealed box.
func TestTheAPIOpensNothing(t *testing.T) {
	t.Parallel()
	each(t, ledger.Keys, func(r *rig) {
		own, err := seal.NewPrivateKey()
		require.NoError(r, err)
		row, err := r.api.Door().GetCredential(r.Context(), r.conn.ID, 1)
		require.NoError(r, err)
		inner, err := r.data.Open(place.Credential(r.org, r.conn.ID, 1), row.Sealed)
		require.NoError(r, err)
		_, sealed, err := seal.Split(seal.SuiteCredential, inner)
		require.NoError(r, err)
		public := [32]byte(r.private.Public())
		for _, key := range [][]byte{own.Reveal(), r.dataKey.Reveal(), public[:], inner[:32]} {
			private := [32]byte(key)
			_, ok := box.OpenAnonymous(nil, sealed, &public, &private)
			require.False(r, ok)
		}
		private := [32]byte(r.private.Reveal())
		_, ok := box.OpenAnonymous(nil, sealed, &public, &private)
		require.True(r, ok, "the cell's key opens it")
	})
}

// TestWhatTheCellKnowsIsSealed: changing what the cell knows, so that it would
// take an older version, ends the connection.
func TestWhatTheCellKnowsIsSealed(t *testing.T) {
	t.Parallel()
	each(t, ledger.Keys, func(r *rig) {
		v := newVault(r)
		other := v.connect("other", v.setup)
		v.save(other.ID, 1, 0, v.book.Token())
		require.Empty(v, v.bill("books"))
		v.exec(v.work, `UPDATE custody SET record_sealed = (SELECT record_sealed FROM custody AS o WHERE o.connection = '`+other.ID+`') WHERE connection = '`+v.conn.ID+`'`)
		v.restart()
		before := v.book.Stats()
		require.Contains(v, v.bill("books"), "suspended")
		v.save(v.conn.ID, 2, 0, v.book.Token())
		require.Contains(v, v.bill("books"), "make a new connection")
		require.Equal(v, 1, v.audited("connection.suspended", v.conn.ID))
		require.Len(v, v.due(), 1)
		require.Equal(v, v.conn.ID, v.due()[0].Subject)
		require.Equal(v, before, v.book.Stats())
	})
}
