package bench

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/seal/sealtest"
)

const (
	// sealedSize is the size of a value as flows keep them, in bytes.
	sealedSize = 1024
	// boxOverhead is what a wrapped key has besides the text of its box: the header,
	// an ephemeral public key and a tag.
	boxOverhead = 10 + 48
	// sealingTime is how long each operation is measured.
	sealingTime = time.Second
)

// sealing measures sealing and opening values for their places, one core each,
// and libsodium's doing the same in the same run.
func sealing(b *testing.B, r *report) {
	b.Helper()
	key, err := seal.NewDataKey()
	require.NoError(b, err)
	keys, plain := seal.NewDataKeys(key), make([]byte, sealedSize)
	at := seal.Place{Organization: "org_01m82qd2ykeswsnns9aggsykkz", Table: "steps", Row: "run_01m82qd2ykeswsnns9aggsykkz/bill", Field: "record"}
	sealed := keys.Seal(at, plain)
	encrypts, decrypts := sealtest.Build(b).PerSecond(b, sealedSize, sealingTime)
	r.against("seal_per_s", perSecond(func() { keys.Seal(at, plain) }), "1/s of 1 KiB", "ratio against libsodium", encrypts)
	r.against("open_per_s", perSecond(func() {
		if _, err := keys.Open(at, sealed); err != nil {
			b.Fatal(err)
		}
	}), "1/s of 1 KiB", "ratio against libsodium", decrypts)

	// A sealed box, as each credential has one; here around a key.
	private, err := seal.NewPrivateKey()
	require.NoError(b, err)
	raw, wrap := make([]byte, seal.KeySize), seal.Wrap{Organization: at.Organization, Purpose: "data key"}
	public := private.Public()
	wrapped, err := seal.WrapKey(public, wrap, raw)
	require.NoError(b, err)
	seals, opens := sealtest.Build(b).BoxesPerSecond(b, len(wrapped)-boxOverhead, sealingTime)
	r.against("box_seal_per_s", perSecond(func() {
		if _, err := seal.WrapKey(public, wrap, raw); err != nil {
			b.Fatal(err)
		}
	}), "1/s of a key", "ratio against libsodium", seals)
	r.against("box_open_per_s", perSecond(func() {
		if _, err := seal.UnwrapKey(private, wrap, wrapped); err != nil {
			b.Fatal(err)
		}
	}), "1/s of a key", "ratio against libsodium", opens)
}

// perSecond is how often the operation can be done in a second.
func perSecond(operation func()) float64 {
	n, from := 0, time.Now()
	for time.Since(from) < sealingTime {
		for range 100 {
			operation()
		}
		n += 100
	}
	return float64(n) / time.Since(from).Seconds()
}
