package audit_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema/audit"
)

// An accepted restore gives up what checkpoints knew behind it, once and for all
// copies of them, and nothing before; and no other checkpoint can be made one.
func TestRestores(t *testing.T) {
	signer := audit.NewSigner()
	keys := audit.NewKeys(signer.Public())
	before := chain("door", 9)
	after := rehash(append(chain("door", 5), chain("door", 8)[5:]...), 5)
	for i := 5; i < len(after); i++ {
		after[i].Actor = "key_2" // written since
	}
	after = rehash(after, 5)
	at := func(entries []audit.Entry, n int) []audit.ChainHead {
		return []audit.ChainHead{{Chain: "door", Head: entries[n-1].Head()}}
	}
	first := signer.Next(nil, "org_1", time.Now(), at(before, 3))
	second := signer.Next(&first, "org_1", time.Now(), at(before, 8))
	accepted := signer.Accept(&second, "org_1", time.Now(), at(before, 5))
	last := signer.Next(&accepted, "org_1", time.Now(), at(after, 8))
	all := []audit.Checkpoint{first, second, accepted, last}
	verify := func(entries []audit.Entry, places ...[]audit.Checkpoint) *audit.Report {
		v := audit.NewVerification("org_1", keys, []string{"door"})
		for _, p := range places {
			v.Checkpoints(p)
		}
		for i := range entries {
			v.Walker("door").Add(&entries[i])
		}
		return v.Report()
	}
	for _, places := range [][][]audit.Checkpoint{{all}, {all, all}} {
		r := verify(after, places...)
		require.Empty(t, r.Findings)
		require.Equal(t, []audit.Restore{{Chain: "door", From: 6, To: 8, At: accepted.At, Checkpoint: 3}}, r.Restores)
	}
	require.NotEmpty(t, verify(before, all).Findings, "what was given up does not come back")
	changed := rehash(append([]audit.Entry{}, after...), 0)
	changed[1].Actor = "somebody"
	require.NotEmpty(t, verify(rehash(changed, 1), all).Findings, "what is before it is held to")
	require.NotEmpty(t, verify(after, all[:2]).Findings, "without its acceptance it is broken")

	// The mark is signed: it can be neither put on nor taken off.
	for _, i := range []int{1, 2} {
		forged := append([]audit.Checkpoint{}, all...)
		forged[i].Restored = !forged[i].Restored
		require.NotEmpty(t, verify(after, forged).Findings)
	}

	// An export says the same to who has the public key.
	var out bytes.Buffer
	write := func(l audit.Line) { require.NoError(t, json.NewEncoder(&out).Encode(l)) }
	write(audit.Line{Header: &audit.Header{Format: audit.Format, Organization: "org_1", Chains: []audit.HeaderChain{{ChainHead: at(after, 8)[0], Whole: true}}}})
	for i := range all {
		write(audit.Line{Checkpoint: &all[i]})
	}
	for i := range after {
		record := audit.RecordOf(&after[i])
		write(audit.Line{Entry: &record})
	}
	write(audit.Line{End: &audit.End{Entries: int64(len(after))}})
	r, err := audit.VerifyExport(&out, keys)
	require.NoError(t, err)
	require.Empty(t, r.Findings)
	require.Len(t, r.Restores, 1)
}
