package keystore_test

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/seal"
)

func (p pairs) publics() keystore.Publics {
	return keystore.Publics{Root: p.root.Public(), API: p.api.Public()}
}

func retiring(e keystore.Entry) []seal.KeyID {
	data, pairs := e.Retiring()
	return append(data, pairs...)
}

// rotated takes an entry through a rotation, each step twice: it was made by a
// process that was killed before it could say so.
func rotated(t *testing.T, p pairs, e *keystore.Entry, kind keystore.Kind, logged ...seal.KeyID) {
	t.Helper()
	id := schema.NewID(schema.PrefixRotation)
	for range 2 {
		require.NoError(t, e.Prepare(kind, id, p.publics(), p.root))
	}
	for range 2 {
		require.NoError(t, e.Switch(kind, id, p.root))
	}
	for range 2 {
		require.NoError(t, e.Destroy(retiring(*e), logged, p.publics(), p.root))
	}
}

// TestDataKeyRotation: a next key opens for everyone before it seals for anyone, and
// a destroyed one opens nothing.
func TestDataKeyRotation(t *testing.T) {
	p := newPairs(t)
	e := p.entry(t)
	id, place := schema.NewID(schema.PrefixRotation), seal.Place{Organization: e.Organization, Table: "runs"}
	log := seal.Place{Organization: e.Organization, Table: seal.AuditTable}
	former := e.DataKeys[0].ID
	open := func() (seal.DataKeys, seal.DataKeys) {
		api, err := e.OpenForAPI(p.api)
		require.NoError(t, err)
		host, err := e.OpenForHost(p.root)
		require.NoError(t, err)
		return api.DataKeys, keystore.Set(host.DataKeys, host.AuditKeys)
	}
	api, cell := open()
	old, noted := api.Seal(place, []byte("old")), cell.Seal(log, []byte("noted"))
	require.Equal(t, former, api.Current())

	require.NoError(t, e.Prepare(keystore.KindData, id, p.publics(), p.root))
	next, ok := e.MadeFor(id)
	require.True(t, ok)
	err := e.Prepare(keystore.KindData, schema.NewID(schema.PrefixRotation), p.publics(), p.root)
	require.Equal(t, schema.CodeConflict, schema.CodeOf(err), "one at a time")
	api, cell = open()
	require.Equal(t, former, api.Current())
	require.True(t, cell.Knows(next))

	require.NoError(t, e.Switch(keystore.KindData, id, p.root))
	behind := cell // It has not heard of the switch yet.
	api, _ = open()
	require.Equal(t, next, api.Current())
	_, err = behind.Open(place, api.Seal(place, []byte("new")))
	require.NoError(t, err, "who has not heard of the switch reads what is sealed after it")
	_, err = api.Open(place, old)
	require.NoError(t, err)
	data, _ := e.Retiring()
	require.Equal(t, []seal.KeyID{former}, data)

	before := e
	err = e.Destroy([]seal.KeyID{next}, nil, p.publics(), p.root)
	require.Equal(t, schema.CodeConflict, schema.CodeOf(err), "what retires is not what was looked at")
	require.Equal(t, before, e)
	require.NoError(t, e.Destroy(retiring(e), nil, p.publics(), p.root))
	api, cell = open()
	for _, keys := range []seal.DataKeys{api, cell} {
		_, err = keys.Open(place, old)
		require.Equal(t, schema.CodeRefused, schema.CodeOf(err))
		plain, err := keys.Open(log, noted)
		require.NoError(t, err, "the log's keys stay")
		require.Equal(t, "noted", string(plain))
	}
	require.Equal(t, schema.CodeConflict, schema.CodeOf(e.Switch(keystore.KindData, schema.NewID(schema.PrefixRotation), p.root)))
}

// TestLoggedKeysOpenTheLogOnly: a data key that sealed details of the audit log, as
// all did before there were audit keys, stays for the log and opens nothing else.
func TestLoggedKeysOpenTheLogOnly(t *testing.T) {
	p := newPairs(t)
	e := p.entry(t)
	e.AuditKeys = nil
	host, err := e.OpenForHost(p.root)
	require.NoError(t, err)
	keys := keystore.Set(host.DataKeys, host.AuditKeys)
	place, log := seal.Place{Organization: e.Organization, Table: "runs"}, seal.Place{Organization: e.Organization, Table: seal.AuditTable}
	value, noted := keys.Seal(place, []byte("value")), keys.Seal(log, []byte("noted"))
	rotated(t, p, &e, keystore.KindData, e.DataKeys[0].ID)
	api, err := e.OpenForAPI(p.api)
	require.NoError(t, err)
	_, err = api.DataKeys.Open(place, value)
	require.Equal(t, schema.CodeRefused, schema.CodeOf(err))
	plain, err := api.DataKeys.Open(log, noted)
	require.NoError(t, err)
	require.Equal(t, "noted", string(plain))
	require.NotEqual(t, api.DataKeys.Seal(log, nil)[:10], noted[:10], "new details have a key of their own")
	require.Len(t, e.AuditKeys, 2)
}

// TestCredentialPairRotation: clients are given the next public half only after
// the switch, and the former private half is gone in the end.
func TestCredentialPairRotation(t *testing.T) {
	p := newPairs(t)
	e := p.entry(t)
	former, id := e.Credentials[0].Public, schema.NewID(schema.PrefixRotation)
	require.NoError(t, e.Prepare(keystore.KindCredential, id, p.publics(), p.root))
	api, err := e.OpenForAPI(p.api)
	require.NoError(t, err)
	require.Equal(t, former, api.CredentialPublic)
	require.NoError(t, e.Switch(keystore.KindCredential, id, p.root))
	api, err = e.OpenForAPI(p.api)
	require.NoError(t, err)
	require.NotEqual(t, former, api.CredentialPublic)
	require.Equal(t, []seal.KeyID{former.ID()}, api.RetiringPairs)
	host, err := e.OpenForHost(p.root)
	require.NoError(t, err)
	require.Len(t, host.Private, 2)
	require.NoError(t, e.Destroy(retiring(e), nil, p.publics(), p.root))
	host, err = e.OpenForHost(p.root)
	require.NoError(t, err)
	require.Len(t, host.Private, 1)
	require.Equal(t, api.CredentialPublic, host.Private[0].Public())
	assert.False(t, host.Changing)
}

// TestEntriesOfBefore: what the first version of the format wrote is read.
func TestEntriesOfBefore(t *testing.T) {
	p := newPairs(t)
	text, err := os.ReadFile(filepath.Join("testdata", "version1.json"))
	require.NoError(t, err)
	dir := filepath.Join(t.TempDir(), "keys")
	s, err := keystore.Open(dir)
	require.NoError(t, err)
	const org = "org_01m82qd2ykeswsnns9aggsykkz"
	require.NoError(t, keystore.WriteSecretFile(filepath.Join(dir, org+".json"), text))
	root := pairOf(t, "6T/TQRw0I9dA5V3n4YL5Q2VQIKvY1x7P5XJfwumPqaQ=")
	_, err = s.OpenForHost(t.Context(), org, root)
	require.NoError(t, err)
	require.NoError(t, s.Update(t.Context(), org, func(e *keystore.Entry) error {
		to := keystore.Publics{Root: root.Public(), API: p.api.Public()}
		return e.Prepare(keystore.KindData, schema.NewID(schema.PrefixRotation), to, root)
	}))
	host, err := s.OpenForHost(t.Context(), org, root)
	require.NoError(t, err)
	require.Empty(t, host.AuditKeys, "the first audit key seals nothing before the switch")
	require.Len(t, host.DataKeys, 2)
}

// TestUpdateDestroys: what an update takes out of an entry is overwritten where it
// was; one that fails changes nothing.
func TestUpdateDestroys(t *testing.T) {
	p, ctx := newPairs(t), t.Context()
	dir := filepath.Join(t.TempDir(), "keys")
	s, err := keystore.Open(dir)
	require.NoError(t, err)
	e := p.entry(t)
	require.NoError(t, s.Put(ctx, e))
	path := filepath.Join(dir, e.Organization+".json")
	former, err := os.Open(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, former.Close()) }()
	mark, err := s.Mark(e.Organization)
	require.NoError(t, err)
	require.Error(t, s.Update(ctx, e.Organization, func(e *keystore.Entry) error {
		e.DataKeys = nil
		return schema.Errorf(schema.CodeConflict, "no")
	}))
	require.NoError(t, s.Update(ctx, e.Organization, func(*keystore.Entry) error { return nil }))
	same, err := s.Mark(e.Organization)
	require.NoError(t, err)
	require.Equal(t, mark, same)
	require.NoError(t, s.Update(ctx, e.Organization, func(e *keystore.Entry) error {
		return e.Prepare(keystore.KindData, schema.NewID(schema.PrefixRotation), p.publics(), p.root)
	}))
	changed, err := s.Mark(e.Organization)
	require.NoError(t, err)
	require.NotEqual(t, mark, changed)

	// What a process that was killed while it wrote has left: the organization's goes
	// with the next change, another's stays.
	text0, err := os.ReadFile(path)
	require.NoError(t, err)
	left, others := filepath.Join(dir, ".new-1"), filepath.Join(dir, ".new-2")
	require.NoError(t, os.WriteFile(left, text0[:len(text0)/2], 0o600))
	require.NoError(t, os.WriteFile(others, []byte(`{"organization":"org_another"`), 0o600))
	staged, err := os.Open(left)
	require.NoError(t, err)
	defer func() { require.NoError(t, staged.Close()) }()
	require.NoError(t, s.Update(ctx, e.Organization, func(*keystore.Entry) error { return nil }))
	require.NoFileExists(t, left)
	require.FileExists(t, others)
	zeros := make([]byte, len(text0)/2)
	_, err = staged.ReadAt(zeros, 0)
	require.NoError(t, err)
	require.Equal(t, make([]byte, len(zeros)), zeros, "overwritten, not only removed")
	info, err := former.Stat()
	require.NoError(t, err)
	text := make([]byte, info.Size())
	_, err = former.ReadAt(text, 0)
	require.NoError(t, err)
	require.Equal(t, make([]byte, len(text)), text)
}

// TestSuccession: a process that runs with a pair learns the one that follows, and
// that one only from who holds the pair.
func TestSuccession(t *testing.T) {
	ctx := t.Context()
	for _, side := range []keystore.Side{keystore.SideRoot, keystore.SideAPI} {
		t.Run(string(side), func(t *testing.T) {
			p := newPairs(t)
			dir := filepath.Join(t.TempDir(), "keys")
			running, err := keystore.Open(dir)
			require.NoError(t, err)
			writer, err := keystore.Open(dir)
			require.NoError(t, err)
			e := p.entry(t)
			e.Databases = map[string]keystore.Database{
				"api":  {ToAPI: wrap(t, p.api.Public(), e.Organization, "api", "x")},
				"cell": {ToRoot: wrap(t, p.root.Public(), e.Organization, "cell", "y")},
			}
			require.NoError(t, writer.Put(ctx, e))
			current := p.root
			open := func(s *keystore.Store, k seal.PrivateKey) error {
				_, err := s.OpenForHost(ctx, e.Organization, k)
				return err
			}
			if side == keystore.SideAPI {
				current = p.api
				open = func(s *keystore.Store, k seal.PrivateKey) error {
					_, err := s.OpenForAPI(ctx, e.Organization, k)
					return err
				}
			}
			attacker, err := seal.NewPrivateKey()
			require.NoError(t, err)
			path := filepath.Join(dir, "successor-"+string(side))
			require.NoError(t, running.Current(side, current.Public()))
			// Planted by who may write here, and knows the public halves.
			require.NoError(t, writer.Announce(t.Context(), side, attacker, attacker))
			require.NoError(t, running.Learn(side, current), "it is not for this pair")
			planted, err := os.ReadFile(path)
			require.NoError(t, err)
			planted = []byte(replaceID(string(planted), attacker.Public().ID(), current.Public().ID()))
			require.NoError(t, keystore.WriteSecretFile(path, planted))
			require.Equal(t, schema.CodeRefused, schema.CodeOf(running.Learn(side, current)))

			for range 2 { // Twice in a row, as it may be.
				next, err := seal.NewPrivateKey()
				require.NoError(t, err)
				require.NoError(t, writer.Announce(t.Context(), side, current, next))
				require.Equal(t, schema.CodeUnavailable, schema.CodeOf(running.Current(side, current.Public())), "nothing more is wrapped to it")
				require.NoError(t, writer.Update(ctx, e.Organization, func(e *keystore.Entry) error { return e.Rewrap(side, current, next.Public()) }))
				require.NoError(t, open(running, map[keystore.Side]seal.PrivateKey{keystore.SideRoot: p.root, keystore.SideAPI: p.api}[side]))
				require.NoError(t, writer.Withdraw(t.Context(), side))
				require.NoError(t, writer.Withdraw(t.Context(), side))
				require.Equal(t, schema.CodeUnavailable, schema.CodeOf(running.Current(side, current.Public())), "nor later, by an old copy")
				require.NoError(t, running.Current(side, next.Public()))
				late, err := keystore.Open(dir)
				require.NoError(t, err)
				require.Equal(t, schema.CodeRefused, schema.CodeOf(open(late, current)), "the former pair opens nothing anymore")
				require.NoError(t, open(late, next))
				got, err := writer.Get(ctx, e.Organization)
				require.NoError(t, err)
				require.NotContains(t, got.Under(side), current.Public().ID())
				current = next
			}
			held, err := running.Holds(side, map[keystore.Side]seal.PrivateKey{keystore.SideRoot: p.root, keystore.SideAPI: p.api}[side])
			require.NoError(t, err)
			require.Equal(t, current.Public(), held[0].Public())
		})
	}
}

func pairOf(t *testing.T, text string) seal.PrivateKey {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(text)
	require.NoError(t, err)
	k, err := seal.ParsePrivateKey(raw)
	require.NoError(t, err)
	return k
}

func replaceID(text string, from, to seal.KeyID) string {
	return strings.ReplaceAll(text, from.String(), to.String())
}
