package custody_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/cmd/internal/custody"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/seal"
)

const (
	crashVariable = "TENON_TEST_CRASH"
	orderVariable = "TENON_TEST_ROTATION"
)

func crashPoint() string { return os.Getenv(crashVariable) }

// order is what a rotation in a process of its own is told.
type order struct {
	Side                        keystore.Side
	From, To, Public, KeysStore string
}

func (o order) rotation(done func(string)) (custody.Rotation, error) {
	keys, err := keystore.Open(o.KeysStore)
	dir := filepath.Dir(o.Public)
	return custody.Rotation{
		Side: o.Side, Store: keys, Public: o.Public, Done: done,
		Lock: filepath.Join(o.KeysStore, "replace.lock"),
		From: custody.New("key", o.From, filepath.Join(dir, "pair.wrapped")), To: custody.New("key", o.To, filepath.Join(dir, "pair.wrapped")),
	}, err
}

// rotateUntilKilled kills this process as soon as the named step was done, without
// a chance to do anything else.
func rotateUntilKilled() int {
	var o order
	if err := json.Unmarshal([]byte(os.Getenv(orderVariable)), &o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	seen := make(map[string]int)
	r, err := o.rotation(func(step string) {
		seen[step]++
		if fmt.Sprint(step, "#", seen[step]) == crashPoint() {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	})
	if err == nil {
		err = r.Run(context.Background())
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// site is a key store with two cells, and processes that run on it.
type site struct {
	*testing.T
	order
	store         *keystore.Store
	former, other seal.PrivateKey
	organizations []string
	open          func(*keystore.Store, string, seal.PrivateKey) error
}

func newSite(t *testing.T, side keystore.Side, value, to string) *site {
	t.Helper()
	dir := t.TempDir()
	s := &site{T: t, order: order{Side: side, From: value, To: to, Public: filepath.Join(dir, "pair.pub"), KeysStore: filepath.Join(dir, "keys")}}
	var err error
	s.store, err = keystore.Open(s.KeysStore)
	require.NoError(t, err)
	r, err := s.rotation(nil)
	require.NoError(t, err)
	s.former, err = r.From.Ensure(t.Context(), s.Public)
	require.NoError(t, err)
	require.NoError(t, keystore.WritePublic(s.Public, s.former.Public()))
	s.other, err = seal.NewPrivateKey()
	require.NoError(t, err)
	root, api := s.former, s.other
	s.open = func(keys *keystore.Store, org string, k seal.PrivateKey) error {
		_, err := keys.OpenForHost(t.Context(), org, k)
		return err
	}
	if side == keystore.SideAPI {
		root, api = s.other, s.former
		s.open = func(keys *keystore.Store, org string, k seal.PrivateKey) error {
			_, err := keys.OpenForAPI(t.Context(), org, k)
			return err
		}
	}
	for range 2 {
		e, err := keystore.Generate(schema.NewID(schema.PrefixOrganization), root.Public(), api.Public())
		require.NoError(t, err)
		require.NoError(t, s.store.Put(t.Context(), e))
		s.organizations = append(s.organizations, e.Organization)
	}
	return s
}

// opens tells whether a process with the private half opens every entry.
func (s *site) opens(keys *keystore.Store, private seal.PrivateKey) {
	s.Helper()
	for _, org := range s.organizations {
		require.NoError(s, s.open(keys, org, private))
	}
}

func (s *site) fresh() *keystore.Store {
	s.Helper()
	keys, err := keystore.Open(s.KeysStore)
	require.NoError(s, err)
	return keys
}

// replaced holds what must be true in the end.
func (s *site) replaced(running *keystore.Store, before []byte) {
	s.Helper()
	r, err := s.rotation(nil)
	require.NoError(s, err)
	next, err := r.To.Load(s.Context())
	require.NoError(s, err)
	require.NotEqual(s, s.former.Public(), next.Public())
	s.opens(s.fresh(), next)
	s.opens(running, s.former)
	for _, org := range s.organizations {
		require.Equal(s, schema.CodeRefused, schema.CodeOf(s.open(s.fresh(), org, s.former)), "the former half opens nothing")
		e, err := s.store.Get(s.Context(), org)
		require.NoError(s, err)
		require.NotContains(s, e.Under(s.Side), s.former.Public().ID())
		require.Contains(s, e.Under(s.Side), next.Public().ID())
	}
	public, err := keystore.LoadPublic(s.Public)
	require.NoError(s, err)
	require.Equal(s, next.Public(), public)
	_, _, announced, err := s.store.Successor(s.Side)
	require.NoError(s, err)
	require.False(s, announced)
	require.NoError(s, filepath.Walk(filepath.Dir(s.Public), func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		require.NotContains(s, path, ".next")
		require.False(s, bytes.Contains(text, before), path)
		return err
	}))
}

// TestPairsKilledAtEveryStep kills the replacement of each pair after each of its
// steps, runs it again, and has processes with the former half, and with whichever
// is kept, open every entry at any time.
func TestPairsKilledAtEveryStep(t *testing.T) {
	steps := []string{
		"the next pair is made#1", "the next pair is announced#1", "the public half is replaced#1",
		"an entry is wrapped to the next pair#1", "an entry is wrapped to the next pair#2", "the former private half is destroyed#1",
	}
	for _, side := range []keystore.Side{keystore.SideRoot, keystore.SideAPI} {
		for _, step := range steps {
			t.Run(string(side)+" "+step, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "pair.key")
				s := newSite(t, side, path, path)
				before, err := os.ReadFile(path)
				require.NoError(t, err)
				running := s.fresh()
				s.opens(running, s.former)
				s.killed(step)
				s.opens(running, s.former)
				kept, err := custody.New("key", path, "").Load(t.Context())
				require.NoError(t, err)
				s.opens(s.fresh(), kept)

				r, err := s.rotation(func(string) { s.opens(running, s.former) })
				require.NoError(t, err)
				require.NoError(t, r.Run(t.Context()))
				s.replaced(running, bytes.TrimSpace(before))
			})
		}
	}
}

// killed runs the rotation in a process that is killed after the step.
func (s *site) killed(step string) {
	s.Helper()
	text, err := json.Marshal(s.order)
	require.NoError(s, err)
	cmd := exec.CommandContext(s.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), crashVariable+"="+step, orderVariable+"="+string(text))
	out, err := cmd.CombinedOutput()
	require.ErrorContains(s, err, "killed", "%s", out)
}

// TestKilledWhileItDestroyed: of a private half that moves, a process that was
// killed between overwriting and removing it leaves zeros. The rotation goes on.
func TestKilledWhileItDestroyed(t *testing.T) {
	dir := t.TempDir()
	from := filepath.Join(dir, "from.key")
	s := newSite(t, keystore.SideRoot, from, filepath.Join(dir, "to.key"))
	before, err := os.ReadFile(from)
	require.NoError(t, err)
	running := s.fresh()
	s.opens(running, s.former)
	s.killed("the former private half is destroyed#1")
	s.opens(running, s.former)
	require.NoError(t, os.WriteFile(from, make([]byte, len(before)), 0o600))
	r, err := s.rotation(func(string) { s.opens(running, s.former) })
	require.NoError(t, err)
	require.NoError(t, r.Run(t.Context()))
	s.replaced(running, bytes.TrimSpace(before))
	require.NoFileExists(t, from)
}

// TestPairsMove: from a file to a provider's key and back, and from one key to another.
func TestPairsMove(t *testing.T) {
	fake.reset(t, "transit/tenon-root", awsID)
	path := filepath.Join(t.TempDir(), "pair.key")
	for _, c := range []struct{ from, to string }{{path, vaultKey}, {vaultKey, awsKey}, {awsKey, path}, {vaultKey, vaultKey}} {
		t.Run(c.from[:6]+" "+c.to[:6], func(t *testing.T) {
			s := newSite(t, keystore.SideRoot, c.from, c.to)
			running := s.fresh()
			r, err := s.rotation(func(string) { s.opens(running, s.former) })
			require.NoError(t, err)
			require.NoError(t, r.Run(t.Context()))
			s.replaced(running, s.former.Reveal())
			if c.from != c.to {
				_, err = r.From.Load(t.Context())
				require.Error(t, err, "it is kept in one place only")
			}
			require.NoError(t, os.RemoveAll(path))
		})
	}
}

// TestPairsWithoutAPublicHalf: an API on a machine of its own may have none.
func TestPairsWithoutAPublicHalf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pair.key")
	s := newSite(t, keystore.SideAPI, path, path)
	running := s.fresh()
	require.NoError(t, os.Remove(s.Public))
	r, err := s.rotation(func(string) { s.opens(running, s.former) })
	require.NoError(t, err)
	require.NoError(t, r.Run(t.Context()))
	s.replaced(running, s.former.Reveal())
}

// TestAFailingProviderChangesNothing: a rotation to a key that cannot be used ends
// before anything was wrapped to it.
func TestAFailingProviderChangesNothing(t *testing.T) {
	fake.reset(t, "transit/other")
	path := filepath.Join(t.TempDir(), "pair.key")
	s := newSite(t, keystore.SideRoot, path, vaultKey)
	r, err := s.rotation(func(string) {})
	require.NoError(t, err)
	require.Equal(t, schema.CodeUnavailable, schema.CodeOf(r.Run(t.Context())))
	s.opens(s.fresh(), s.former)
	_, _, announced, err := s.store.Successor(s.Side)
	require.NoError(t, err)
	require.False(t, announced)
}
