package seal_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal"
)

// fixed returns 32 bytes that begin with b and count on.
func fixed(b byte) []byte {
	out := make([]byte, seal.KeySize)
	for i := range out {
		out[i] = b + byte(i)
	}
	return out
}

func dataKey(t testing.TB, b byte) seal.DataKey {
	t.Helper()
	k, err := seal.ParseDataKey(fixed(b))
	require.NoError(t, err)
	return k
}

func privateKey(t testing.TB, b byte) seal.PrivateKey {
	t.Helper()
	k, err := seal.ParsePrivateKey(fixed(b))
	require.NoError(t, err)
	return k
}

func refused(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	assert.Equal(t, schema.CodeRefused, schema.CodeOf(err))
}

func TestDataOpensInItsPlaceOnly(t *testing.T) {
	keys := seal.NewDataKeys(dataKey(t, 1))
	here := seal.Place{Organization: "org_a", Table: "runs", Row: "run_1", Field: "result"}
	sealed := keys.Seal(here, []byte("ten bills"))
	plain, err := keys.Open(here, sealed)
	require.NoError(t, err)
	assert.Equal(t, "ten bills", string(plain))

	for name, there := range map[string]seal.Place{
		"another organization": {Organization: "org_b", Table: "runs", Row: "run_1", Field: "result"},
		"another table":        {Organization: "org_a", Table: "events", Row: "run_1", Field: "result"},
		"another row":          {Organization: "org_a", Table: "runs", Row: "run_2", Field: "result"},
		"another field":        {Organization: "org_a", Table: "runs", Row: "run_1", Field: "args"},
		"moved boundary":       {Organization: "org_a", Table: "runsrun_1", Row: "", Field: "result"},
		"nowhere":              {},
	} {
		_, err := keys.Open(there, sealed)
		refused(t, err)
		assert.NotContains(t, err.Error(), "bills", name)
	}
	assert.NotEqual(t, sealed, keys.Seal(here, []byte("ten bills")), "nonces are random")
}

func TestDataKeysRotate(t *testing.T) {
	place := seal.Place{Organization: "org_a"}
	old, current := dataKey(t, 1), dataKey(t, 2)
	before := seal.NewDataKeys(old).Seal(place, []byte("x"))
	keys := seal.NewDataKeys(current, old)
	assert.Equal(t, current.ID(), keys.Current())
	plain, err := keys.Open(place, before)
	require.NoError(t, err)
	assert.Equal(t, "x", string(plain))
	_, err = seal.NewDataKeys(old).Open(place, keys.Seal(place, []byte("y")))
	refused(t, err)
}

// Every single bit counts, of the header too.
func TestFlippedAndTruncated(t *testing.T) {
	keys, private := seal.NewDataKeys(dataKey(t, 1)), privateKey(t, 3)
	place, wrap := seal.Place{Organization: "org_a"}, seal.Wrap{Organization: "org_a", Purpose: "data key"}
	wrapped, err := seal.WrapKey(private.Public(), wrap, fixed(9))
	require.NoError(t, err)
	for name, c := range map[string]struct {
		sealed []byte
		open   func([]byte) ([]byte, error)
	}{
		"data": {keys.Seal(place, []byte("payload")), func(b []byte) ([]byte, error) { return keys.Open(place, b) }},
		"wrap": {wrapped, func(b []byte) ([]byte, error) { return seal.UnwrapKey(private, wrap, b) }},
	} {
		t.Run(name, func(t *testing.T) {
			for i := range len(c.sealed) * 8 {
				flipped := bytes.Clone(c.sealed)
				flipped[i/8] ^= 1 << (i % 8)
				_, err := c.open(flipped)
				refused(t, err)
			}
			for n := range c.sealed {
				_, err := c.open(c.sealed[:n])
				refused(t, err)
			}
			_, err := c.open(append(bytes.Clone(c.sealed), 0))
			refused(t, err)
		})
	}
}

func TestWrapOpensForItsOwnerAndPurposeOnly(t *testing.T) {
	root, other := privateKey(t, 3), privateKey(t, 4)
	w := seal.Wrap{Organization: "org_a", Purpose: "data key"}
	wrapped, err := seal.WrapKey(root.Public(), w, fixed(9))
	require.NoError(t, err)
	key, err := seal.UnwrapKey(root, w, wrapped)
	require.NoError(t, err)
	assert.Equal(t, fixed(9), key)

	_, err = seal.UnwrapKey(other, w, wrapped)
	refused(t, err)
	_, err = seal.UnwrapKey(seal.PrivateKey{}, w, wrapped)
	refused(t, err)
	for _, bad := range []seal.Wrap{
		{Organization: "org_b", Purpose: "data key"},
		{Organization: "org_a", Purpose: "credential key"},
		{Organization: "org_adata key"},
		{Purpose: "data key"},
		{},
	} {
		_, err := seal.UnwrapKey(root, bad, wrapped)
		refused(t, err)
	}
}

// Nothing in this package opens a credential, not even with its private key.
func TestUnwrapRefusesCredentials(t *testing.T) {
	private := privateKey(t, 3)
	sealed, err := seal.SealCredential(private.Public(), credential())
	require.NoError(t, err)
	_, err = seal.UnwrapKey(private, seal.Wrap{}, sealed)
	refused(t, err)
	// Dressed up as a wrap it is still none: the box begins otherwise.
	dressed := bytes.Clone(sealed)
	dressed[1] = byte(seal.SuiteWrap)
	for _, w := range []seal.Wrap{{}, {Organization: "org_a"}, {Organization: "org_a", Purpose: "credential key"}} {
		_, err = seal.UnwrapKey(private, w, dressed)
		refused(t, err)
	}
}

// A point of low order has a shared secret that everyone can compute.
func TestLowOrderPublicKeysAreNotSealedTo(t *testing.T) {
	for _, low := range []seal.PublicKey{{}, {1}} {
		_, err := seal.WrapKey(low, seal.Wrap{}, fixed(1))
		assert.Equal(t, schema.CodeInvalid, schema.CodeOf(err))
		_, err = seal.SealCredential(low, credential())
		assert.Equal(t, schema.CodeInvalid, schema.CodeOf(err))
	}
}

func TestKeysParseStrictly(t *testing.T) {
	for _, n := range []int{0, 1, 31, 33, 64} {
		_, err := seal.ParsePrivateKey(make([]byte, n))
		assert.Equal(t, schema.CodeInvalid, schema.CodeOf(err))
		_, err = seal.ParseDataKey(make([]byte, n))
		assert.Equal(t, schema.CodeInvalid, schema.CodeOf(err))
	}
	want := privateKey(t, 7).Public()
	text, err := json.Marshal(want)
	require.NoError(t, err)
	var got seal.PublicKey
	require.NoError(t, json.Unmarshal(text, &got))
	assert.Equal(t, want, got)
	for _, bad := range []string{"", "AAAA", want.String() + "A", want.String()[1:], want.String()[:42] + "/=", " " + want.String()} {
		require.Error(t, got.UnmarshalText([]byte(bad)), "%q", bad)
	}
	var id seal.KeyID
	require.NoError(t, id.UnmarshalText([]byte(want.ID().String())))
	assert.Equal(t, want.ID(), id)
	for _, bad := range []string{"", "00", want.ID().String() + "00", "zz" + want.ID().String()[2:]} {
		require.Error(t, id.UnmarshalText([]byte(bad)))
	}
}

// The caller keeps its key; the parsed one is a copy.
func TestParsedKeysAreCopies(t *testing.T) {
	raw := fixed(5)
	private, err := seal.ParsePrivateKey(raw)
	require.NoError(t, err)
	data, err := seal.ParseDataKey(raw)
	require.NoError(t, err)
	clear(raw)
	assert.Equal(t, fixed(5), private.Reveal())
	assert.Equal(t, fixed(5), data.Reveal())
}
