package keystore_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/seal"
)

// TestKilledWhileItWithdrew: a process that was killed after it had overwritten the
// successor's file, and before it removed it, has left zeros. They hold up nobody.
func TestKilledWhileItWithdrew(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	s, err := keystore.Open(dir)
	require.NoError(t, err)
	former, next := newPairs(t).root, newPairs(t).root
	path := filepath.Join(dir, "successor-root")
	require.NoError(t, s.Announce(t.Context(), keystore.SideRoot, former, next))
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, s.Withdraw(t.Context(), keystore.SideRoot))
	blank := func() { require.NoError(t, os.WriteFile(path, make([]byte, len(text)), 0o600)) }

	blank()
	require.NoError(t, s.Current(keystore.SideRoot, next.Public()))
	require.Equal(t, schema.CodeUnavailable, schema.CodeOf(s.Current(keystore.SideRoot, former.Public())))
	_, _, announced, err := s.Successor(keystore.SideRoot)
	require.NoError(t, err)
	require.False(t, announced)
	require.NoError(t, s.Withdraw(t.Context(), keystore.SideRoot))
	require.NoFileExists(t, path)

	blank()
	third, err := seal.NewPrivateKey()
	require.NoError(t, err)
	require.NoError(t, s.Announce(t.Context(), keystore.SideRoot, next, third))
	held, err := s.Holds(keystore.SideRoot, next)
	require.NoError(t, err)
	require.Equal(t, third.Public(), held[0].Public())
}
