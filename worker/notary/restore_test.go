package notary_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/audit"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
	"github.com/tenonhq/tenon/worker/notary"
)

// copied takes a copy of both databases of the cell; back puts it in their place.
func (s *site) copied() (back func()) {
	s.Helper()
	s.leave()
	restore := s.Copy(s.T, s.org)
	s.enter()
	return func() {
		s.leave()
		restore()
		s.enter()
	}
}

// leave closes the cell's databases, enter opens them again: other processes than
// those that wrote before.
func (s *site) leave() {
	s.Helper()
	for _, c := range s.cell {
		require.NoError(s, c.Close())
	}
}

func (s *site) enter() {
	s.Helper()
	for chain, at := range map[string]struct {
		urls store.CellURLs
		side store.Side
	}{store.ChainDoor: {s.made.API, store.SideAPI}, store.ChainWork: {s.made.Cell, store.SideCell}} {
		c, err := store.OpenCell(s.Context(), at.urls, at.side)
		require.NoError(s, err)
		s.cell[chain] = c
		s.Cleanup(func() { _ = c.Close() })
	}
}

func (s *site) state() string {
	s.Helper()
	o, err := s.control.GetOrganization(s.Context(), s.org)
	require.NoError(s, err)
	return o.State
}

func (s *site) claimed() int {
	s.Helper()
	rows, err := s.control.ClaimCells(s.Context(), schema.NewID(schema.PrefixHost), time.Now(), time.Now(), 10)
	require.NoError(s, err)
	return len(rows)
}

func (s *site) evidence(signer audit.Signer) notary.Evidence {
	return notary.Evidence{Control: s.control, Admin: s.Admin, Keys: audit.NewKeys(signer.Public()), Directory: s.directory}
}

// Both databases of a cell are put back to an earlier time: nothing of it runs,
// whoever asks and however often, until somebody with the key of checkpoints has
// accepted it. Then the log verifies, and says what it lost.
func TestPutBackDatabases(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		s := newSite(t, b)
		signer := audit.NewSigner()
		n := s.notary(signer)
		s.write(3)
		require.NoError(t, n.Attest(t.Context(), s.org))
		_, err := notary.Accept(t.Context(), s.evidence(signer), signer, s.org, "operator:x")
		require.Equal(t, schema.CodeConflict, schema.CodeOf(err), "nothing was put back")
		back := s.copied()
		s.write(4)
		require.NoError(t, n.Attest(t.Context(), s.org))
		require.Equal(t, 1, s.claimed())

		back()
		for _, asks := range []*notary.Notary{n, s.notary(signer)} {
			require.Equal(t, schema.CodePutBack, schema.CodeOf(asks.Attest(t.Context(), s.org)))
			require.Equal(t, store.OrganizationPutBack, s.state())
		}
		require.Zero(t, s.claimed())
		acts, err := s.control.ListAudit(t.Context(), store.AuditFilter{Action: "organization.put_back", Organization: s.org})
		require.NoError(t, err)
		require.Len(t, acts, 1)
		require.Empty(t, acts[0].Detail, "without keys to seal it, an entry stands without what it tells, and never in clear")
		require.NotEmpty(t, s.verify(signer, s.org).Findings)

		// Somebody with SQL goes on: says that it is active, plants a checkpoint,
		// takes the true ones away. The file has them.
		control := s.owner(store.ChainControl)
		control.do("UPDATE organizations SET state = 'active' WHERE id = ?", s.org)
		control.do("DELETE FROM checkpoints WHERE organization = ? AND seq > 1", s.org)
		forged := audit.NewSigner().Accept(&s.signed(s.org)[0], s.org, time.Now(), s.signed(s.org)[0].Heads)
		require.NoError(t, s.control.PutCheckpoint(t.Context(), forged))
		require.Equal(t, schema.CodePutBack, schema.CodeOf(s.notary(signer).Attest(t.Context(), s.org)))
		require.Equal(t, store.OrganizationPutBack, s.state())
		// A host that has no file of them starts nothing, either.
		control.do("DELETE FROM checkpoints WHERE organization = ? AND seq = 1", s.org)
		directory := s.directory
		s.directory = filepath.Join(t.TempDir(), "none")
		require.Error(t, s.notary(signer).Attest(t.Context(), s.org))
		s.directory = directory
		control.do("DELETE FROM checkpoints WHERE organization = ?", s.org)

		report, err := notary.Accept(t.Context(), s.evidence(signer), signer, s.org, "operator:x")
		require.NoError(t, err)
		require.Len(t, report.Restores, 2)
		require.Equal(t, audit.Restore{Chain: "door", From: 4, To: 7, At: report.Restores[0].At, Checkpoint: 3}, report.Restores[0])
		require.Equal(t, store.OrganizationActive, s.state())
		require.Equal(t, 1, s.claimed())
		acts, err = s.control.ListAudit(t.Context(), store.AuditFilter{Action: "organization.restore_accepted", Organization: s.org})
		require.NoError(t, err)
		require.Len(t, acts, 1)
		require.Equal(t, "operator:x", acts[0].Actor)

		// A host that ran all the time follows, and so does a new one.
		require.NoError(t, n.Attest(t.Context(), s.org))
		s.write(6)
		require.NoError(t, n.Attest(t.Context(), s.org))
		require.NoError(t, s.notary(signer).Attest(t.Context(), s.org))
		found := s.verify(signer, s.org)
		require.Empty(t, found.Findings)
		require.Len(t, found.Restores, 2)
		require.Zero(t, found.Unsigned)

		// To before the restore, once more.
		back()
		require.Equal(t, schema.CodePutBack, schema.CodeOf(n.Attest(t.Context(), s.org)))
	})
}

// Two hosts have one directory of checkpoints: each adds what it has not seen, in its
// own time. The log verifies, and a restore is accepted, as with one.
func TestHostsThatShareTheirFiles(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		s := newSite(t, b)
		signer := audit.NewSigner()
		one, another := s.notary(signer), s.notary(signer)
		attest := func(n *notary.Notary) {
			s.write(1)
			require.NoError(t, n.Attest(t.Context(), s.org))
		}
		attest(one)
		attest(another)
		back := s.copied()
		for _, n := range []*notary.Notary{another, one, one, another} {
			attest(n)
		}
		text, err := os.ReadFile(s.file(s.org))
		require.NoError(t, err)
		require.Greater(t, strings.Count(string(text), "\n"), len(s.signed(s.org)))
		found := s.verify(signer, s.org)
		require.Empty(t, found.Findings)
		require.EqualValues(t, 6, found.Checkpoints)
		require.NoError(t, s.notary(signer).Attest(t.Context(), s.org))

		back()
		require.Equal(t, schema.CodePutBack, schema.CodeOf(one.Attest(t.Context(), s.org)))
		_, err = notary.Accept(t.Context(), s.evidence(signer), signer, s.org, "operator:x")
		require.NoError(t, err)
		attest(another)
		attest(one)
		require.Empty(t, s.verify(signer, s.org).Findings)
	})
}

// What was signed is on disk: a writer that is killed, and one that is looked at
// while it writes, are never taken for a database that was put back.
func TestNoFalseAlarm(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		s := newSite(t, b)
		signer := audit.NewSigner()
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 20 {
				s.write(2)
			}
		}()
		n := s.notary(signer)
		for going := true; going; {
			select {
			case <-done:
				going = false
			default:
			}
			require.NoError(t, n.Attest(t.Context(), s.org))
		}
		s.leave()
		s.enter()
		s.write(1)
		require.NoError(t, s.notary(signer).Attest(t.Context(), s.org))
		require.Equal(t, store.OrganizationActive, s.state())
		require.Empty(t, s.verify(signer, s.org).Findings)
	})
}

// What was changed otherwise than by putting a copy back is not accepted.
func TestOnlyARestoreIsAccepted(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		s := newSite(t, b)
		signer := audit.NewSigner()
		n := s.notary(signer)
		s.write(3)
		require.NoError(t, n.Attest(t.Context(), s.org))
		s.write(3)
		require.NoError(t, n.Attest(t.Context(), s.org))
		s.leave()
		door := s.owner(store.ChainDoor)
		door.do("DELETE FROM audit WHERE seq > 5")
		s.rewrite(door, store.ChainDoor, 2)
		require.Equal(t, schema.CodePutBack, schema.CodeOf(n.Attest(t.Context(), s.org)))
		_, err := notary.Accept(t.Context(), s.evidence(signer), signer, s.org, "operator:x")
		require.Equal(t, schema.CodeRefused, schema.CodeOf(err))
		require.Equal(t, store.OrganizationPutBack, s.state())
		s.enter()
	})
}

// The control database is restored with the cells: its checkpoints come back from
// the files, and it is accepted as itself.
func TestARestoredServer(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		s := newSite(t, b)
		signer := audit.NewSigner()
		n := s.notary(signer)
		for range 3 {
			s.write(2)
			n.Look(t.Context(), false)
		}
		control := s.owner(store.ChainControl)
		control.do("DELETE FROM checkpoints WHERE seq > 1")
		control.do("DELETE FROM audit WHERE seq > 4")
		again, err := store.OpenControl(t.Context(), s.ControlURL)
		require.NoError(t, err)
		defer func() { _ = again.Close() }()
		s.control = again
		require.Equal(t, schema.CodePutBack, schema.CodeOf(s.notary(signer).Attest(t.Context(), "")))
		report, err := notary.Accept(t.Context(), s.evidence(signer), signer, "", "operator:x")
		require.NoError(t, err)
		require.Len(t, report.Restores, 1)
		last := s.notary(signer)
		require.NoError(t, last.Attest(t.Context(), ""))
		require.NoError(t, last.Attest(t.Context(), s.org))
		require.Empty(t, s.verify(signer, "").Findings)
		text, err := os.ReadFile(s.file(""))
		require.NoError(t, err)
		require.Equal(t, 1, strings.Count(string(text), `"restored":true`))
	})
}

// A backup of before an upgrade is found out, and accepted, as it is: hosts migrate it
// when the cell runs.
func TestARestoreFromBeforeAnUpgrade(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		s := newSite(t, b)
		signer := audit.NewSigner()
		n := s.notary(signer)
		s.write(3)
		require.NoError(t, n.Attest(t.Context(), s.org))
		back := s.copied()
		s.write(4)
		require.NoError(t, n.Attest(t.Context(), s.org))
		back()
		s.leave()
		b.Older(t, s.made)
		require.Equal(t, schema.CodePutBack, schema.CodeOf(n.Attest(t.Context(), s.org)))
		_, err := notary.Accept(t.Context(), s.evidence(signer), signer, s.org, "operator:x")
		require.NoError(t, err)
		require.Equal(t, store.OrganizationActive, s.state())
		require.NoError(t, n.Attest(t.Context(), s.org))
		require.NoError(t, store.MigrateCell(t.Context(), b.Admin, s.org))
		s.enter()
		s.write(1)
		require.NoError(t, n.Attest(t.Context(), s.org))
		require.Empty(t, s.verify(signer, s.org).Findings)
	})
}
