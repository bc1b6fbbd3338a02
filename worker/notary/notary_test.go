package notary_test

import (
	"bytes"
	"encoding/base64"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema/audit"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
	"github.com/tenonhq/tenon/worker/notary"
)

func (s *site) notary(signer audit.Signer) *notary.Notary {
	s.Helper()
	n, err := notary.New(notary.Config{
		Control: s.control, Admin: s.Admin, Signer: signer, Keys: audit.NewKeys(signer.Public()), Directory: s.directory,
		Awake: func() []string { return []string{s.org} }, Seal: s.seal, Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(s, err)
	return n
}

func (s *site) verify(signer audit.Signer, organization string) *audit.Report {
	s.Helper()
	r, err := notary.Verify(s.Context(), notary.Evidence{
		Control: s.control, Admin: s.Admin, Keys: audit.NewKeys(signer.Public()), Directory: s.directory,
	}, organization)
	require.NoError(s, err)
	return r
}

func (s *site) signed(organization string) []audit.Checkpoint {
	s.Helper()
	all, err := s.control.ListCheckpoints(s.Context(), organization, 0, store.MaxPage)
	require.NoError(s, err)
	return all
}

func (s *site) file(organization string) string {
	if organization == "" {
		organization = "platform"
	}
	return filepath.Join(s.directory, organization+".ndjson")
}

// A checkpoint is signed when a chain has grown, over all chains of the
// organization at once, and is kept in the database and on disk.
func TestCheckpoints(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		s := newSite(t, b)
		signer := audit.NewSigner()
		n := s.notary(signer)
		s.write(3)
		n.Look(t.Context(), false)
		n.Look(t.Context(), true)
		require.Len(t, s.signed(s.org), 1)
		require.Equal(t, []string{"door", "work"}, []string{s.signed(s.org)[0].Heads[0].Chain, s.signed(s.org)[0].Heads[1].Chain})
		s.write(2)
		n.Look(t.Context(), true)
		for _, organization := range []string{s.org, ""} {
			require.Len(t, s.signed(organization), 2)
			text, err := os.ReadFile(s.file(organization))
			require.NoError(t, err)
			require.Equal(t, 2, bytes.Count(text, []byte("\n")))
			r := s.verify(signer, organization)
			require.Empty(t, r.Findings)
			require.EqualValues(t, 2, r.Checkpoints)
			require.Zero(t, r.Unsigned)
		}
		s.write(1)
		require.EqualValues(t, 2, s.verify(signer, s.org).Unsigned)

		// Another key's owner proves nothing with these.
		require.NotEmpty(t, s.verify(audit.NewSigner(), s.org).Findings)
	})
}

// A host that died between the database and the file, or in the middle of a
// line, goes on with the same series; so does one whose database was restored.
func TestCheckpointsSurvive(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		s := newSite(t, b)
		signer := audit.NewSigner()
		for range 3 {
			s.write(1)
			s.notary(signer).Look(t.Context(), false)
		}
		text, err := os.ReadFile(s.file(s.org))
		require.NoError(t, err)
		// The last line is cut.
		require.NoError(t, os.WriteFile(s.file(s.org), text[:len(text)-40], 0o600))
		s.write(1)
		s.notary(signer).Look(t.Context(), false)
		require.Len(t, s.signed(s.org), 4)
		require.Empty(t, s.verify(signer, s.org).Findings)

		s.owner(store.ChainControl).do("DELETE FROM checkpoints WHERE seq > 1")
		require.NotEmpty(t, s.verify(signer, s.org).Findings)
		s.write(1)
		s.notary(signer).Look(t.Context(), false)
		require.Len(t, s.signed(s.org), 5)
		require.Empty(t, s.verify(signer, s.org).Findings)
	})
}

// Whoever has every right in the databases, and takes the triggers off, is
// found out, on every chain; and nothing is signed over what was done.
func TestTamperingIsFound(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		s := newSite(t, b)
		signer := audit.NewSigner()
		n := s.notary(signer)
		s.write(5)
		n.Look(t.Context(), false)
		s.write(3)
		n.Look(t.Context(), false)
		s.write(1)
		// The control chain first: what is found in the others is told there.
		for _, chain := range []string{store.ChainControl, store.ChainDoor, store.ChainWork} {
			o := s.owner(chain)
			for name, c := range map[string]struct {
				tamper func()
				// at is where the finding is.
				at int64
			}{
				"edited":  {func() { o.do("UPDATE audit SET actor = 'x' WHERE seq = 4") }, 4},
				"removed": {func() { o.do("DELETE FROM audit WHERE seq = 4") }, 4},
				"reordered": {func() {
					o.do("UPDATE audit SET seq = -1 WHERE seq = 4")
					o.do("UPDATE audit SET seq = 4 WHERE seq = 5")
					o.do("UPDATE audit SET seq = 5 WHERE seq = -1")
				}, 4},
				"inserted": {func() {
					o.do("UPDATE audit SET seq = seq + 1000 WHERE seq > 4")
					o.do("INSERT INTO audit (seq, id, at, actor, action, target, namespace, detail_sealed, hash) SELECT 5, 'aud_x', at, actor, action, target, namespace, detail_sealed, hash FROM audit WHERE seq = 4")
					o.do("UPDATE audit SET seq = seq - 999 WHERE seq > 1000")
				}, 5},
				"truncated": {func() { o.do("DELETE FROM audit WHERE seq > 6") }, 7},
				"emptied":   {func() { o.do("DELETE FROM audit") }, 1},
				// Every hash fits: the first checkpoint behind it does not.
				"rewritten": {func() { s.rewrite(o, chain, 4) }, s.signed(s.of(chain))[0].Head(chain).Seq},
			} {
				t.Run(chain+" "+name, func(t *testing.T) {
					require.Empty(t, s.verify(signer, s.of(chain)).Findings)
					o.do("CREATE TABLE untouched AS SELECT * FROM audit")
					defer func() {
						o.do("DELETE FROM audit")
						o.do("INSERT INTO audit SELECT * FROM untouched")
						o.do("DROP TABLE untouched")
					}()
					c.tamper()
					found := s.verify(signer, s.of(chain)).Findings
					require.NotEmpty(t, found)
					require.Equal(t, chain, found[0].Chain)
					require.Equal(t, c.at, found[0].Seq, "%v", found)
					if chain == store.ChainControl {
						return
					}
					signed, told := len(s.signed(s.org)), len(s.told())
					s.seals = func(detail []byte) []byte { return []byte(base64.StdEncoding.EncodeToString(detail)) }
					s.notary(signer).Look(t.Context(), false)
					if name == "rewritten" || name == "truncated" || name == "emptied" {
						require.Len(t, s.signed(s.org), signed, "what was changed is not vouched for")
						require.Len(t, s.told(), told+1)
						require.Equal(t, s.org, s.told()[0].Organization)
						plain, err := base64.StdEncoding.DecodeString(string(s.told()[0].Detail))
						require.NoError(t, err, "what concerns an organization is sealed by its keys")
						require.Contains(t, string(plain), chain)
					}
				})
			}
		}
	})
}

// of is whose checkpoints cover a chain.
func (s *site) of(chain string) string {
	if chain == store.ChainControl {
		return ""
	}
	return s.org
}

// told is what the notary put on the record.
func (s *site) told() []audit.Entry {
	s.Helper()
	entries, err := s.control.ListAudit(s.Context(), store.AuditFilter{Action: "audit.broken"})
	require.NoError(s, err)
	return entries
}

// Who cuts the chain and the checkpoints in the database alike, or makes up
// some, has not reached the file, nor the key.
func TestCheckpointsCannotBeForged(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		s := newSite(t, b)
		signer := audit.NewSigner()
		n := s.notary(signer)
		s.write(3)
		n.Look(t.Context(), false)
		s.write(3)
		n.Look(t.Context(), false)
		all := s.signed(s.org)
		control := s.owner(store.ChainControl)
		s.owner(store.ChainDoor).do("DELETE FROM audit WHERE seq > 3")
		control.do("DELETE FROM checkpoints WHERE organization = ? AND seq > 1", s.org)
		found := s.verify(signer, s.org).Findings
		require.Len(t, found, 2)
		require.Equal(t, audit.Finding{Seq: 2, What: found[0].What}, found[0], "the database's checkpoints")
		require.Equal(t, "door", found[1].Chain)
		require.EqualValues(t, 4, found[1].Seq)

		forged := audit.NewSigner().Next(&all[0], s.org, time.Now(), all[0].Heads)
		require.NoError(t, s.control.PutCheckpoint(t.Context(), forged))
		require.NotEmpty(t, s.verify(signer, s.org).Findings)
		forged.Key, forged.Signature = all[1].Key, all[1].Signature
		control.do("DELETE FROM checkpoints WHERE organization = ? AND seq > 1", s.org)
		require.NoError(t, s.control.PutCheckpoint(t.Context(), forged))
		found = s.verify(signer, s.org).Findings
		require.True(t, slices.ContainsFunc(found, func(f audit.Finding) bool { return strings.Contains(f.What, "signature") }), "%v", found)
	})
}
