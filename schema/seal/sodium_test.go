package seal_test

import (
	"encoding/binary"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/seal/sealtest"
)

const (
	headerSize = 10
	nonceSize  = 24
)

// prefixed encodes parts as docs/sealed-format.md says, on its own.
func prefixed(parts ...string) []byte {
	var out []byte
	for _, p := range parts {
		out = binary.BigEndian.AppendUint32(out, uint32(len(p)))
		out = append(out, p...)
	}
	return out
}

func associated(header []byte, p seal.Place) []byte {
	return append(append([]byte{}, header...), prefixed(p.Organization, p.Table, p.Row, p.Field)...)
}

// What we seal libsodium opens, and the other way round.
func TestLibsodiumReadsWhatWeWrite(t *testing.T) {
	sodium, private := sealtest.Build(t), privateKey(t, 3)
	public := private.Public()

	sealed, err := seal.SealCredential(public, credential())
	require.NoError(t, err)
	plain := sodium.Open(t, public[:], private.Reveal(), sealed[headerSize:])
	require.Greater(t, len(plain), len(seal.CredentialMagic))
	assert.Equal(t, seal.CredentialMagic, string(plain[:len(seal.CredentialMagic)]))
	var got seal.Credential
	require.NoError(t, json.Unmarshal(plain[len(seal.CredentialMagic):], &got))
	assert.Equal(t, credential(), got)

	wrapped, err := seal.WrapKey(public, seal.Wrap{Organization: "org_a", Purpose: "data key"}, fixed(9))
	require.NoError(t, err)
	want := append([]byte("tenon-wrap-v1\n"), append(prefixed("org_a", "data key"), fixed(9)...)...)
	assert.Equal(t, want, sodium.Open(t, public[:], private.Reveal(), wrapped[headerSize:]))

	data, place := dataKey(t, 1), seal.Place{Organization: "org_a", Table: "runs", Row: "run_1", Field: "result"}
	box := seal.NewDataKeys(data).Seal(place, []byte("ten bills"))
	assert.Equal(t, "ten bills", string(sodium.Decrypt(t, data.Reveal(), box[headerSize:headerSize+nonceSize],
		associated(box[:headerSize], place), box[headerSize+nonceSize:])))
}

func TestWeReadWhatLibsodiumWrites(t *testing.T) {
	sodium, private := sealtest.Build(t), privateKey(t, 3)
	public, w := private.Public(), seal.Wrap{Organization: "org_a", Purpose: "data key"}
	id := public.ID()
	plain := append([]byte("tenon-wrap-v1\n"), append(prefixed("org_a", "data key"), fixed(9)...)...)
	wrapped := append([]byte{1, 2}, append(id[:], sodium.Seal(t, public[:], plain)...)...)
	key, err := seal.UnwrapKey(private, w, wrapped)
	require.NoError(t, err)
	assert.Equal(t, fixed(9), key)

	data, place := dataKey(t, 1), seal.Place{Organization: "org_a", Table: "runs", Row: "run_1", Field: "result"}
	dataID, nonce := data.ID(), fixed(0x70)[:nonceSize]
	header := append([]byte{1, 1}, dataID[:]...)
	box := append(append(append([]byte{}, header...), nonce...), sodium.Encrypt(t, data.Reveal(), nonce, associated(header, place), []byte("ten bills"))...)
	opened, err := seal.NewDataKeys(data).Open(place, box)
	require.NoError(t, err)
	assert.Equal(t, "ten bills", string(opened))
}
