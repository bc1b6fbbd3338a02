package keyring

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/nacl/box"

	"github.com/tenonhq/tenon/schema/seal"
)

func sealedTo(t *testing.T, k seal.PrivateKey, plain string) []byte {
	t.Helper()
	public := [seal.KeySize]byte(k.Public())
	sealed, err := box.SealAnonymous(nil, []byte(plain), &public, rand.Reader)
	require.NoError(t, err)
	return sealed
}

// A key that was computed for a box opens this box, unchanged, and nothing else:
// not one that begins alike, nor with another pair.
func TestKeysOfBoxes(t *testing.T) {
	mine, err := seal.NewPrivateKey()
	require.NoError(t, err)
	theirs, err := seal.NewPrivateKey()
	require.NoError(t, err)
	p, other := newPair(mine), newPair(theirs)
	sealed := sealedTo(t, mine, "canary")
	for range 2 {
		plain, ok := p.open(sealed)
		require.True(t, ok)
		require.Equal(t, "canary", string(plain))
		clear(plain) // As callers do: what a box holds is not kept.
		_, ok = other.open(sealed)
		require.False(t, ok)
	}
	for i := range len(sealed) * 8 {
		flipped := bytes.Clone(sealed)
		flipped[i/8] ^= 1 << (i % 8)
		_, ok := p.open(flipped)
		require.False(t, ok, "bit %d", i)
	}
	for n := range sealed {
		_, ok := p.open(sealed[:n])
		require.False(t, ok, "cut at %d", n)
	}
	begins := append(bytes.Clone(sealed[:ephemeralSize]), sealedTo(t, mine, "another")[ephemeralSize:]...)
	_, ok := p.open(begins)
	require.False(t, ok)
	assert.Len(t, p.boxes.each(), 1, "of what did not open nothing is kept")
	assert.Empty(t, other.boxes.each())
}

// TestKeysOfBoxesAreOverwritten: when there are too many, and when their pair is
// no more; and nothing that prints a keyring prints one.
func TestKeysOfBoxesAreOverwritten(t *testing.T) {
	former, err := seal.NewPrivateKey()
	require.NoError(t, err)
	next, err := seal.NewPrivateKey()
	require.NoError(t, err)
	k := New("org_01h455vb4pex5vsknk084sn02q", []seal.PrivateKey{former}, seal.DataKeys{})
	p := k.pairs.Load().private[former.Public().ID()]
	sealed := make([][]byte, mostBoxes+1)
	for i := range sealed {
		sealed[i] = sealedTo(t, former, "canary")
	}
	open := func(box []byte) {
		plain, ok := p.open(box)
		require.True(t, ok)
		require.Equal(t, "canary", string(plain))
	}
	kept := func(box []byte) *[seal.KeySize]byte { return p.boxes.each()[[ephemeralSize]byte(box)] }

	for _, box := range sealed[:mostBoxes] {
		open(box)
	}
	first := kept(sealed[0])
	require.NotZero(t, *first)
	for _, shown := range []string{fmt.Sprintf("%v %+v %#v", k, k, k), fmt.Sprintf("%v %+v %#v", p, p, p), fmt.Sprintf("%+v %#v", p.boxes, p.boxes)} {
		assert.NotContains(t, shown, fmt.Sprintf("%x", first[:4]))
		assert.NotContains(t, shown, fmt.Sprintf("%d %d %d %d", first[0], first[1], first[2], first[3]))
		assert.NotContains(t, shown, fmt.Sprintf("%#x, %#x, %#x, %#x", first[0], first[1], first[2], first[3]))
	}
	open(sealed[mostBoxes])
	assert.Zero(t, *first)
	assert.Len(t, p.boxes.each(), 1)
	open(sealed[0])

	last := kept(sealed[0])
	require.NotZero(t, *last)
	k.Adopt([]seal.PrivateKey{next})
	assert.Zero(t, *last)
	assert.Empty(t, p.boxes.each())
	open(sealed[0]) // By who had the pair before.
	assert.Empty(t, p.boxes.each())
	_, ok := k.pairs.Load().private[former.Public().ID()]
	assert.False(t, ok)
}
