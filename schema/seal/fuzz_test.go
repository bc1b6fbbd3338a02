package seal_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal"
)

// FuzzOpen: nothing but what was sealed here opens, and nothing panics.
func FuzzOpen(f *testing.F) {
	data := dataKey(f, 1)
	keys, private := seal.NewDataKeys(data), privateKey(f, 3)
	place, wrap := seal.Place{Organization: "org_a"}, seal.Wrap{Organization: "org_a", Purpose: "data key"}
	good := keys.Seal(place, []byte("payload"))
	wrapped, err := seal.WrapKey(private.Public(), wrap, fixed(9))
	require.NoError(f, err)
	for _, seed := range [][]byte{good, good[:10], good[:34], good[:49], wrapped, wrapped[:10], {1, 1}, {1, 2}, nil} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, sealed []byte) {
		if plain, err := keys.Open(place, sealed); err == nil {
			require.Equal(t, "payload", string(plain))
		} else {
			require.Equal(t, schema.CodeRefused, schema.CodeOf(err))
		}
		if key, err := seal.UnwrapKey(private, wrap, sealed); err == nil {
			require.Equal(t, fixed(9), key)
		} else {
			require.Equal(t, schema.CodeRefused, schema.CodeOf(err))
		}
		for _, suite := range []seal.Suite{seal.SuiteData, seal.SuiteWrap, seal.SuiteCredential} {
			if _, rest, err := seal.Split(suite, sealed); err == nil {
				require.Len(t, sealed, len(rest)+10)
			}
		}
	})
}

// FuzzKeyText: what parses is what would be written.
func FuzzKeyText(f *testing.F) {
	f.Add(privateKey(f, 3).Public().String())
	f.Add("0123456789abcdef")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		var k seal.PublicKey
		if k.UnmarshalText([]byte(text)) == nil {
			var again seal.PublicKey
			require.NoError(t, again.UnmarshalText([]byte(k.String())))
			require.Equal(t, k, again)
		}
		var id seal.KeyID
		_ = id.UnmarshalText([]byte(text))
	})
}

// FuzzHost: a host that passes has one spelling and no room for another part of a URL.
func FuzzHost(f *testing.F) {
	for _, seed := range []string{"api.example.com", "10.0.0.7:8443", "[::1]:9", "a@b", "127.1", "xn--a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, host string) {
		u := use()
		u.Hosts = []string{host}
		if seal.CheckUse(u) != nil {
			return
		}
		require.NotRegexp(t, `[^a-z0-9.:\[\]-]`, host)
	})
}
