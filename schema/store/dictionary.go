package store

import (
	"database/sql"
	"errors"
	"maps"
)

// mostKnown bounds how many entries of a dictionary a process remembers.
const mostKnown = 4096

// dictionary numbers what many rows of a side have in common, such as the columns of
// one flow's version: it is kept once, in a table of its own, to which entries are only
// added. It is the writer's: one transaction at a time uses it.
type dictionary[K comparable] struct {
	find, add string
	args      func(K) []any
	// known are numbers that are on disk; fresh are those that the transaction looked
	// up, or adds.
	known, fresh map[K]int64
}

func newDictionary[K comparable](find, add string, args func(K) []any) *dictionary[K] {
	return &dictionary[K]{find: find, add: add, args: args, known: make(map[K]int64), fresh: make(map[K]int64)}
}

// number is that of the entry, which is added if there is none such.
func (d *dictionary[K]) number(t *txn, k K) (int64, error) {
	if n, ok := d.known[k]; ok {
		return n, nil
	}
	if n, ok := d.fresh[k]; ok {
		return n, nil
	}
	args := d.args(k)
	var n int64
	err := t.QueryRow(d.find, args, &n)
	if errors.Is(err, sql.ErrNoRows) {
		if _, _, err = t.Exec(d.add, args...); err == nil {
			err = t.QueryRow(d.find, args, &n)
		}
	}
	if err == nil {
		d.fresh[k] = n
	}
	return n, err
}

// begin forgets what a transaction before this one looked up, and may not have kept.
func (d *dictionary[K]) begin() { clear(d.fresh) }

// learn remembers what the transaction that was committed looked up.
func (d *dictionary[K]) learn() {
	if len(d.known)+len(d.fresh) > mostKnown {
		clear(d.known)
	}
	maps.Copy(d.known, d.fresh)
}

// dictionaries are a writer's; each is of one side.
type dictionaries struct {
	acts     *dictionary[act]
	streams  *dictionary[stream]
	programs *dictionary[program]
}

func newDictionaries() dictionaries {
	return dictionaries{acts: newActs(), streams: newStreams(), programs: newPrograms()}
}

func (d dictionaries) begin() {
	d.acts.begin()
	d.streams.begin()
	d.programs.begin()
}

func (d dictionaries) learn() {
	d.acts.learn()
	d.streams.learn()
	d.programs.learn()
}
