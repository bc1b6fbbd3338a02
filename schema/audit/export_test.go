package audit_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/audit"
)

// known is a signer whose key is always the same.
func known(t testing.TB) audit.Signer {
	t.Helper()
	path := filepath.Join(t.TempDir(), "checkpoint.key")
	text := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("S"), ed25519.SeedSize))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	s, err := audit.LoadSigner(path)
	require.NoError(t, err)
	return s
}

func headOf(entries []audit.Entry) audit.ChainHead {
	return audit.ChainHead{Chain: entries[0].Chain, Head: entries[len(entries)-1].Head()}
}

// log is an export of two whole chains and a part of a third.
func log(t testing.TB, s audit.Signer) []audit.Line {
	t.Helper()
	door, work, control := chain("door", 6), chain("work", 4), chain("control", 5)
	first := s.Next(nil, "org_1", at, []audit.ChainHead{headOf(work[:2]), headOf(door[:3])})
	second := s.Next(&first, "org_1", at, []audit.ChainHead{headOf(work), headOf(door[:5])})
	lines := []audit.Line{
		{Header: &audit.Header{Format: audit.Format, Organization: "org_1", At: at, Chains: []audit.HeaderChain{
			{ChainHead: audit.ChainHead{Chain: "control"}}, {ChainHead: headOf(door), Whole: true}, {ChainHead: headOf(work), Whole: true},
		}}},
		{Checkpoint: &first},
		{Checkpoint: &second},
	}
	n := int64(0)
	for _, e := range slices.Concat(door, work, []audit.Entry{control[1], control[3]}) {
		r := audit.RecordOf(&e)
		lines = append(lines, audit.Line{Entry: &r})
		n++
	}
	return append(lines, audit.Line{End: &audit.End{Entries: n}})
}

func written(t testing.TB, lines []audit.Line) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, l := range lines {
		require.NoError(t, json.NewEncoder(&out).Encode(l))
	}
	return out.Bytes()
}

func TestVerifyExport(t *testing.T) {
	s := known(t)
	keys := audit.NewKeys(s.Public())
	r, err := audit.VerifyExport(bytes.NewReader(written(t, log(t, s))), keys)
	require.NoError(t, err)
	require.Empty(t, r.Findings)
	require.Equal(t, []string{"control"}, r.Parts)
	require.EqualValues(t, 12, r.Entries)
	require.EqualValues(t, 2, r.Checkpoints)
	require.EqualValues(t, 1, r.Unsigned, "the last of the door")

	for name, c := range map[string]struct {
		change func(l []audit.Line) []audit.Line
		chain  string
		at     int64
	}{
		"edited":           {func(l []audit.Line) []audit.Line { l[4].Entry.Actor = "x"; return l }, "door", 2},
		"edited part":      {func(l []audit.Line) []audit.Line { l[13].Entry.Organization = "org_2"; return l }, "control", 2},
		"part reordered":   {func(l []audit.Line) []audit.Line { l[13], l[14] = l[14], l[13]; return l }, "control", 2},
		"reordered":        {func(l []audit.Line) []audit.Line { l[4], l[5] = l[5], l[4]; return l }, "door", 2},
		"removed":          {func(l []audit.Line) []audit.Line { l[15].End.Entries--; return slices.Delete(l, 4, 5) }, "door", 2},
		"no checkpoints":   {func(l []audit.Line) []audit.Line { return slices.Delete(l, 1, 2) }, "", 1},
		"forged":           {func(l []audit.Line) []audit.Line { l[2].Checkpoint.Heads[0].Seq = 1; return l }, "", 2},
		"another's":        {func(l []audit.Line) []audit.Line { l[0].Header.Organization = "org_2"; return l }, "", 1},
		"header says more": {func(l []audit.Line) []audit.Line { l[0].Header.Chains[1].Seq = 9; return l }, "door", 7},
		"truncated": {func(l []audit.Line) []audit.Line {
			l[0].Header.Chains[1].ChainHead = audit.ChainHead{Chain: "door", Head: audit.Head{Seq: 4, Hash: l[6].Entry.Hash}}
			l[15].End.Entries -= 2
			return slices.Delete(l, 7, 9)
		}, "door", 5},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := audit.VerifyExport(bytes.NewReader(written(t, c.change(log(t, s)))), keys)
			require.NoError(t, err)
			require.True(t, r.Broken())
			require.Equal(t, c.chain, r.Findings[0].Chain, "%v", r.Findings)
			require.Equal(t, c.at, r.Findings[0].Seq, "%v", r.Findings)
		})
	}

	whole := written(t, log(t, s))
	for name, text := range map[string][]byte{
		"nothing": nil, "cut short": whole[:len(whole)-20], "no end": written(t, log(t, s)[:15]), "twice": slices.Concat(whole, whole),
		"no header": written(t, log(t, s)[1:]), "garbage": []byte("{\n"), "another field": []byte(`{"header":{"format":"tenon-audit-v1"},"x":1}`),
		"another form": []byte(`{"header":{"format":"tenon-audit-v2","at":"2026-01-01T00:00:00Z","chains":[]}}`), "an empty line": []byte("{}\n"),
		"a line too long": bytes.Repeat([]byte(" "), 5<<20),
	} {
		_, err := audit.VerifyExport(bytes.NewReader(text), keys)
		require.Error(t, err, name)
	}
}

// The signature of a known checkpoint: one made today must verify for ever.
func TestCheckpointIsStable(t *testing.T) {
	c := known(t).Next(nil, "org_1", at, []audit.ChainHead{{Chain: "door", Head: audit.Head{Seq: 3, Hash: []byte{1, 2}}}})
	require.Equal(t, "f993bf2661c8a80d", c.Key)
	require.Equal(t, "2843f0f42b2562bb33897d6911daeaf01f859ceea7b81024f38f30510bde736c", hex.EncodeToString(c.Hash()))
	require.NoError(t, audit.Follows(nil, &c, "org_1", audit.NewKeys(known(t).Public())))
	require.Error(t, audit.Follows(&c, &c, "org_1", audit.NewKeys(known(t).Public())))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		said := fmt.Sprintf(verb, known(t))
		require.NotContains(t, said, "SSSS")
		require.NotContains(t, said, "53535353")
	}
}

func TestKeyFiles(t *testing.T) {
	dir := t.TempDir()
	first, err := audit.EnsureSigner(filepath.Join(dir, "checkpoint.key"))
	require.NoError(t, err)
	again, err := audit.EnsureSigner(filepath.Join(dir, "checkpoint.key"))
	require.NoError(t, err)
	require.Equal(t, first.Public(), again.Public())
	public := filepath.Join(dir, "checkpoint.pub")
	for range 2 {
		require.NoError(t, audit.AddKey(public, first.Public()))
	}
	keys, err := audit.LoadKeys(public)
	require.NoError(t, err)
	require.Equal(t, audit.NewKeys(first.Public()), keys)
	require.NoError(t, audit.AddKey(public, known(t).Public()))
	keys, err = audit.LoadKeys(public)
	require.NoError(t, err)
	require.Equal(t, audit.NewKeys(first.Public(), known(t).Public()), keys, "what the first signed still verifies")
	require.NoError(t, os.Chmod(public, 0o666))
	_, err = audit.LoadKeys(public)
	require.Equal(t, schema.CodeRefused, schema.CodeOf(err), "who changes it signs for himself")
	for _, text := range []string{"", "x", "AAAA"} {
		bad := filepath.Join(dir, "bad")
		require.NoError(t, os.WriteFile(bad, []byte(text), 0o600))
		_, err = audit.LoadKeys(bad)
		require.Error(t, err)
		_, err = audit.LoadSigner(bad)
		require.Error(t, err)
	}
}

// FuzzVerifyExport: a changed export is never taken for the one that was made,
// and no input takes the verifier down.
func FuzzVerifyExport(f *testing.F) {
	s := known(f)
	keys := audit.NewKeys(s.Public())
	good := written(f, log(f, s))
	f.Add(good)
	f.Add(bytes.Replace(good, []byte("key_1"), []byte("key_2"), 1))
	f.Add([]byte("{}"))
	want, err := audit.VerifyExport(bytes.NewReader(good), keys)
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := audit.VerifyExport(bytes.NewReader(text), keys)
		if err != nil || r.Broken() || r.Checkpoints < 2 {
			return
		}
		// Both checkpoints hold: the signed entries are those that were signed.
		require.Equal(t, want.Organization, r.Organization)
		for _, h := range r.Heads {
			if h.Chain == "work" && h.Seq == want.Heads[1].Seq {
				require.Equal(t, want.Heads[1], h)
			}
		}
	})
}
