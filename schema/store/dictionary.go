package store

import (
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"maps"

	"github.com/tenonhq/tenon/schema"
)

// mostKnown bounds how many entries of a dictionary a process remembers.
const mostKnown = 4096

// dictionaries number what many rows of a side have in common, such as the columns of
// one flow's version: it is kept once, in tables of their own, to which entries are only
// added. They are the writer's: one transaction at a time uses them.
type dictionaries struct {
	acts     *dictionary[act]
	streams  *dictionary[stream]
	programs *dictionary[program]

	// tag is the database's as of which the known entries are there: every addition
	// gives it another one, so that a process knows nothing that another has taken
	// back, as one does that restores the database. next is what it is if the
	// transaction commits.
	tag, next int64
	// trusted: the transaction used what is known before it had read the tag.
	trusted bool
}

func newDictionaries() *dictionaries {
	d := &dictionaries{}
	d.acts, d.streams, d.programs = newActs(d), newStreams(d), newPrograms(d)
	return d
}

// begin forgets what a transaction before this one looked up, and may not have kept.
func (d *dictionaries) begin() {
	d.trusted, d.next = false, d.tag
	clear(d.acts.fresh)
	clear(d.streams.fresh)
	clear(d.programs.fresh)
}

// at says what tag the transaction read. An error undoes what it did until then with
// numbers that may be others' now; it is tried again.
func (d *dictionaries) at(tag int64) error {
	if tag == d.tag {
		return nil
	}
	d.tag, d.next = tag, tag
	clear(d.acts.known)
	clear(d.streams.known)
	clear(d.programs.known)
	if d.trusted {
		return schema.Errorf(schema.CodeUnavailable, "another process has changed what rows have in common")
	}
	return nil
}

// learn remembers what the transaction that was committed looked up.
func (d *dictionaries) learn() {
	d.tag = d.next
	d.acts.learn()
	d.streams.learn()
	d.programs.learn()
}

// dictionary is one of a side's [dictionaries].
type dictionary[K comparable] struct {
	all       *dictionaries
	find, add string
	args      func(K) []any
	// known are numbers that are on disk; fresh are those that the transaction looked
	// up, or adds.
	known, fresh map[K]int64
}

func newDictionary[K comparable](all *dictionaries, find, add string, args func(K) []any) *dictionary[K] {
	return &dictionary[K]{all: all, find: find, add: add, args: args, known: make(map[K]int64), fresh: make(map[K]int64)}
}

// number is that of the entry, which is added if there is none such.
func (d *dictionary[K]) number(t *txn, k K) (int64, error) {
	if n, ok := d.known[k]; ok {
		d.all.trusted = true
		return n, nil
	}
	if n, ok := d.fresh[k]; ok {
		return n, nil
	}
	args := d.args(k)
	var n int64
	err := t.QueryRow(d.find, args, &n)
	if errors.Is(err, sql.ErrNoRows) {
		if err = d.append(t, args); err == nil {
			err = t.QueryRow(d.find, args, &n)
		}
	}
	if err == nil {
		d.fresh[k] = n
	}
	return n, err
}

func (d *dictionary[K]) append(t *txn, args []any) error {
	if _, _, err := t.Exec(d.add, args...); err != nil {
		return err
	}
	var random [8]byte
	_, _ = rand.Read(random[:]) // Never fails: it ends the process instead.
	d.all.next = int64(binary.BigEndian.Uint64(random[:]))
	_, _, err := t.Exec("UPDATE dictionaries SET tag = ?", d.all.next)
	return err
}

func (d *dictionary[K]) learn() {
	if len(d.known)+len(d.fresh) > mostKnown {
		clear(d.known)
	}
	maps.Copy(d.known, d.fresh)
}
