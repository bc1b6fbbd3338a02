package activities

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/nacl/box"

	"github.com/tenonhq/tenon/examples/bookkeeper/ledger"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
)

// testable gives the connection an address to try a credential at.
func (v *vault) testable(path string) {
	v.Helper()
	v.setup.Settings = json.RawMessage(`{"base_url":"` + v.book.URL() + `","test_path":"` + path + `"}`)
	v.resettle(v.conn, v.setup)
}

// used is the version that a call would use now.
func (v *vault) used() int {
	v.Helper()
	row, err := v.api.Door().GetConnection(v.Context(), v.namespace, v.conn.ID)
	require.NoError(v, err)
	conn, err := v.p.setup(row)
	require.NoError(v, err)
	k, _, err := v.p.custody.choose(v.Context(), conn)
	require.NoError(v, err)
	require.NotNil(v, k)
	return k.Version
}

// TestRotation: the version before stays in use until a test call has shown that
// the new one works, and is not used after.
func TestRotation(t *testing.T) {
	t.Parallel()
	each(t, ledger.Keys, func(r *rig) {
		v := newVault(r)
		v.testable("/suppliers")
		v.save(v.conn.ID, 2, 1, v.book.Token())
		require.Equal(v, config.ProofProven, v.known(v.conn.ID).Proof.State)
		require.Equal(v, 2, v.known(v.conn.ID).Floor)
		require.Equal(v, 2, v.used())
		require.Equal(v, 1, v.audited("credential.proven", v.conn.ID))

		// One that the system refuses changes nothing, and says why.
		v.save(v.conn.ID, 3, 2, "not-the-token")
		proof := v.known(v.conn.ID).Proof
		require.Equal(v, config.ProofFailed, proof.State)
		require.Equal(v, 3, proof.Version)
		require.Contains(v, proof.Reason, "the system refused the credential")
		require.NotEmpty(v, proof.Hint)
		require.Equal(v, 2, v.used())
		require.Equal(v, 1, v.audited("credential.failed", v.conn.ID))
		require.Empty(v, v.bill("books"))
		require.NotContains(v, v.logged(), "not-the-token")

		// The next one takes the place of both.
		v.save(v.conn.ID, 4, 2, v.book.Token())
		require.Equal(v, 4, v.used())
		require.Equal(v, 4, v.known(v.conn.ID).Floor)
		require.Empty(v, v.bill("books"))
	})
}

// TestTestCallGoesOn: a test call that a process does not end is made by the
// next one; until then, the version before is used.
func TestTestCallGoesOn(t *testing.T) {
	t.Parallel()
	each(t, ledger.Keys, func(r *rig) {
		v := newVault(r)
		v.testable("/suppliers")
		held := make(chan struct{})
		v.p.plug.before = func() { <-held }
		inner := v.sealedToken(2, v.book.Token())
		told := v.entered(v.conn.ID, 2, 1, inner)
		commands, err := v.cell.Door().CommandsAfter(v.Context(), 1, 10)
		require.NoError(v, err)
		require.Equal(v, told.ID, commands[0].ID)
		require.NoError(v, v.p.Told(v.Context(), commands[0], config.CredentialCommand{
			Connection: v.conn.ID, Act: config.CredentialEntered, Version: 2, Lowest: 1,
		}))
		require.Equal(v, 1, v.used())
		dead := v.p
		v.restart()
		require.NoError(v, v.p.ResumeTests(v.Context()))
		v.eventually("the next process proves it", func() bool { return v.known(v.conn.ID).Proof.Of(2, config.ProofProven) })
		// What a process knows follows what it has written.
		v.eventually("the proven version is used", func() bool { return v.used() == 2 })
		// A command that is applied again changes nothing.
		require.NoError(v, v.p.Told(v.Context(), commands[0], config.CredentialCommand{Connection: v.conn.ID, Act: config.CredentialRevoked, Version: 2}))
		require.Equal(v, 2, v.known(v.conn.ID).Floor)
		close(held)
		v.eventually("the dead one ends", func() bool {
			dead.custody.mu.Lock()
			defer dead.custody.mu.Unlock()
			return len(dead.custody.tests) == 0
		})
	})
}

// TestTrial: without a test call the first answer shows whether a version works.
func TestTrial(t *testing.T) {
	t.Parallel()
	each(t, ledger.Keys, func(r *rig) {
		v := newVault(r)
		require.Empty(v, v.bill("books"))
		require.Equal(v, config.ProofProven, v.known(v.conn.ID).Proof.State)

		v.save(v.conn.ID, 2, 1, "not-the-token")
		require.Equal(v, config.ProofTrial, v.known(v.conn.ID).Proof.State)
		require.Equal(v, 2, v.used())
		n := v.start(v.deploy(billFlow), `{"order":"O-1"}`)
		require.NotNil(v, v.p.done(n.whole(billTask)).Fault)
		require.Equal(v, config.ProofFailed, v.known(v.conn.ID).Proof.State)
		require.Equal(v, 1, v.used())
		require.Empty(v, v.bill("books"), "the version before goes on")

		v.save(v.conn.ID, 3, 1, v.book.Token())
		require.Equal(v, 1, v.known(v.conn.ID).Floor)
		require.Empty(v, v.bill("books"))
		require.Equal(v, 3, v.known(v.conn.ID).Floor)
		require.Equal(v, config.ProofProven, v.known(v.conn.ID).Proof.State)
	})
}

// TestASystemThatCannotBeAsked: a system that cannot be asked leaves the version before in
// use; asked again, it may be proven.
func TestASystemThatCannotBeAsked(t *testing.T) {
	t.Parallel()
	pauses := testPauses
	testPauses = []time.Duration{time.Millisecond, time.Millisecond}
	t.Cleanup(func() { testPauses = pauses })
	each(t, ledger.Keys, func(r *rig) {
		v := newVault(r)
		v.testable("/nothing")
		v.save(v.conn.ID, 2, 1, v.book.Token())
		require.Equal(v, config.ProofFailed, v.known(v.conn.ID).Proof.State)
		require.Contains(v, v.known(v.conn.ID).Proof.Reason, "does not show")
		require.Equal(v, 1, v.used())

		v.testable("/suppliers")
		again := v.told(config.CredentialCommand{Connection: v.conn.ID, Act: config.CredentialTest, Version: 2})
		_, err := v.api.Door().AddCommand(v.Context(), again, draft())
		require.NoError(v, err)
		v.follow()
		require.Equal(v, 2, v.used())
	})
}

// TestLastUse: uses are written together, and never go back.
func TestLastUse(t *testing.T) {
	t.Parallel()
	each(t, ledger.Keys, func(r *rig) {
		v := newVault(r)
		_, err := v.cell.Work().GetCustody(v.Context(), v.conn.ID)
		require.NoError(v, err)
		require.Empty(v, v.bill("books"))
		require.Empty(v, v.bill("books"))
		row, err := v.cell.Work().GetCustody(v.Context(), v.conn.ID)
		require.NoError(v, err)
		require.Nil(v, row.UsedAt, "not one write a call")
		require.NoError(v, v.p.FlushUse(v.Context()))
		row, err = v.cell.Work().GetCustody(v.Context(), v.conn.ID)
		require.NoError(v, err)
		require.WithinDuration(v, time.Now(), *row.UsedAt, time.Minute)
		first := *row.UsedAt

		v.p.ahead(-time.Hour)
		require.Empty(v, v.bill("books"))
		require.NoError(v, v.p.FlushUse(v.Context()))
		require.NoError(v, v.p.FlushUse(v.Context()))
		row, err = v.cell.Work().GetCustody(v.Context(), v.conn.ID)
		require.NoError(v, err)
		require.Equal(v, first, *row.UsedAt)
	})
}

func (v *vault) sealedToken(version int, token string) []byte {
	v.Helper()
	inner, err := seal.SealCredential(v.private.Public(), seal.Credential{
		Organization: v.org, Connection: v.conn.ID, Version: version, Use: v.setup.Use, Values: map[string]string{"token": token},
	})
	require.NoError(v, err)
	return v.data.Seal(place.Credential(v.org, v.conn.ID, version), inner)
}

// TestRevokedAtOnce: the next request of a call that is under way already fails.
func TestRevokedAtOnce(t *testing.T) {
	t.Parallel()
	each(t, ledger.Keys, func(r *rig) {
		v := newVault(r)
		v.p.plug.before = func() {
			require.NoError(v, v.api.Door().RevokeCredentials(v.Context(), store.Revocation{
				Connection: v.conn.ID, Told: v.told(config.CredentialCommand{Connection: v.conn.ID, Act: config.CredentialRevoked, Version: 1}), Audit: draft(),
			}))
		}
		require.Contains(v, v.bill("books"), "revoked")
		require.Zero(v, v.book.Stats().Creations)
		v.follow()
		require.Equal(v, 2, v.known(v.conn.ID).Floor)
		v.testable("/suppliers")
		require.Equal(v, schema.CodeRefused, schema.CodeOf(v.p.Prove(v.Context(), v.namespace, v.conn.ID, 1)))
	})
}

// TestASlipOfTheClient: a version that its owner sealed with values that are not
// allowed is refused with the reason; the version before stays in use, whether or
// not the cell was told of the new one yet, and nothing is suspended.
func TestASlipOfTheClient(t *testing.T) {
	t.Parallel()
	each(t, ledger.Keys, func(r *rig) {
		v := newVault(r)
		v.testable("/suppliers")
		require.Equal(v, 1, v.used())
		text, err := json.Marshal(seal.Credential{
			Organization: v.org, Connection: v.conn.ID, Version: 2, Use: v.setup.Use, Values: map[string]string{"token": "two\nlines"},
		})
		require.NoError(v, err)
		public := v.private.Public()
		id, key := public.ID(), [32]byte(public)
		sealed, err := box.SealAnonymous(append([]byte{1, byte(seal.SuiteCredential)}, id[:]...), append([]byte(seal.CredentialMagic), text...), &key, nil)
		require.NoError(v, err)
		v.entered(v.conn.ID, 2, 1, v.data.Seal(place.Credential(v.org, v.conn.ID, 2), sealed))
		require.Equal(v, 1, v.used())
		v.follow()
		proof := v.known(v.conn.ID).Proof
		require.Equal(v, config.ProofFailed, proof.State)
		require.Equal(v, 2, proof.Version)
		require.Contains(v, proof.Reason, "values")
		require.Nil(v, v.known(v.conn.ID).Suspension)
		require.Equal(v, 1, v.used())
		require.Empty(v, v.bill("books"))
		require.NotContains(v, v.logged(), "lines")
	})
}
