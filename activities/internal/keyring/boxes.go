package keyring

import (
	"sync"

	"github.com/tenonhq/tenon/schema/seal"
)

// mostBoxes is how many boxes' keys are kept: 64 KiB with their ephemeral keys.
const mostBoxes = 1024

// boxKeys are the keys of the boxes that were opened last, by their ephemeral
// public keys: to compute one takes longer than everything else that opening
// takes. Each opens its one box, which stays sealed in the database, as the pair
// beside it in the same memory does; what a box holds is kept by nobody (invariant 1).
type boxKeys struct {
	mu sync.Mutex
	// gone: the pair is no more, and nothing is kept for it.
	gone bool
	// each is a function, so that package fmt finds no key. It hands the keys to
	// who holds mu.
	each func() map[[ephemeralSize]byte]*[seal.KeySize]byte
}

func newBoxKeys() *boxKeys {
	keys := map[[ephemeralSize]byte]*[seal.KeySize]byte{}
	return &boxKeys{each: func() map[[ephemeralSize]byte]*[seal.KeySize]byte { return keys }}
}

// find copies the key of an ephemeral key's box.
func (b *boxKeys) find(ephemeral [ephemeralSize]byte, key *[seal.KeySize]byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	kept, ok := b.each()[ephemeral]
	if ok {
		*key = *kept
	}
	return ok
}

// keep keeps a key, of a box that it opened.
func (b *boxKeys) keep(ephemeral [ephemeralSize]byte, key [seal.KeySize]byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.gone {
		return
	}
	if len(b.each()) >= mostBoxes {
		b.wipe()
	}
	b.each()[ephemeral] = &key
}

// forget overwrites all keys, and what comes is not kept: a box may be being opened
// while its pair is replaced.
func (b *boxKeys) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.gone = true
	b.wipe()
}

func (b *boxKeys) wipe() {
	keys := b.each()
	for _, k := range keys {
		clear(k[:])
	}
	clear(keys)
}
