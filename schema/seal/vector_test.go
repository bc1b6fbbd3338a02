package seal_test

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/tenonhq/tenon/schema/seal"
)

var update = flag.Bool("update", false, "write the golden vectors anew: only with a new format version")

// vectors are what was once sealed: every later version opens it.
type vectors struct {
	DataKey    string     `json:"data_key"`
	DataKeyID  string     `json:"data_key_id"`
	Private    string     `json:"private_key"`
	Public     string     `json:"public_key"`
	PublicID   string     `json:"public_key_id"`
	Place      seal.Place `json:"place"`
	Plain      string     `json:"plain"`
	Data       string     `json:"data"`
	Wrap       seal.Wrap  `json:"wrap"`
	Wrapped    string     `json:"wrapped"`
	WrappedKey string     `json:"wrapped_key"`
}

func vectorFile() string { return filepath.Join("testdata", "vectors.json") }

func TestVectors(t *testing.T) {
	data, private := dataKey(t, 1), privateKey(t, 3)
	keys := seal.NewDataKeys(data)
	if *update {
		write(t, data, private)
	}
	text, err := os.ReadFile(vectorFile())
	require.NoError(t, err)
	var v vectors
	require.NoError(t, json.Unmarshal(text, &v))
	assert.Equal(t, v.DataKey, hex.EncodeToString(data.Reveal()))
	assert.Equal(t, v.DataKeyID, data.ID().String())
	assert.Equal(t, v.Private, hex.EncodeToString(private.Reveal()))
	assert.Equal(t, v.Public, private.Public().String())
	assert.Equal(t, v.PublicID, private.Public().ID().String())

	box := decode(t, v.Data)
	plain, err := keys.Open(v.Place, box)
	require.NoError(t, err)
	assert.Equal(t, v.Plain, string(plain))
	// The other way: with the vector's nonce, the described bytes come out again.
	aead, err := chacha20poly1305.NewX(data.Reveal())
	require.NoError(t, err)
	id := data.ID()
	again := append([]byte{1, 1}, id[:]...)
	again = append(again, box[headerSize:headerSize+nonceSize]...)
	again = aead.Seal(again, box[headerSize:headerSize+nonceSize], []byte(v.Plain), associated(box[:headerSize], v.Place))
	assert.Equal(t, box, again)

	key, err := seal.UnwrapKey(private, v.Wrap, decode(t, v.Wrapped))
	require.NoError(t, err)
	assert.Equal(t, v.WrappedKey, hex.EncodeToString(key))
}

func write(t *testing.T, data seal.DataKey, private seal.PrivateKey) {
	t.Helper()
	v := vectors{
		DataKey: hex.EncodeToString(data.Reveal()), DataKeyID: data.ID().String(),
		Private: hex.EncodeToString(private.Reveal()), Public: private.Public().String(), PublicID: private.Public().ID().String(),
		Place: seal.Place{Organization: "org_a", Table: "runs", Row: "run_1", Field: "result"}, Plain: "ten bills",
		Wrap: seal.Wrap{Organization: "org_a", Purpose: "data key"}, WrappedKey: hex.EncodeToString(fixed(9)),
	}
	v.Data = hex.EncodeToString(seal.NewDataKeys(data).Seal(v.Place, []byte(v.Plain)))
	wrapped, err := seal.WrapKey(private.Public(), v.Wrap, fixed(9))
	require.NoError(t, err)
	v.Wrapped = hex.EncodeToString(wrapped)
	text, err := json.MarshalIndent(v, "", "  ")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(vectorFile(), append(text, '\n'), 0o600))
}

func decode(t *testing.T, text string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(text)
	require.NoError(t, err)
	return raw
}
