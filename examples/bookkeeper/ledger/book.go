package ledger

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// Mode says how a repeated creation is treated.
type Mode string

// The modes: what a caller can rely on to avoid a second bill.
const (
	// Keys: an Idempotency-Key is required; the same key gives the same bill.
	Keys Mode = "keys"
	// Lookup: keys are ignored, but GET /bills?order= finds what was made.
	Lookup Mode = "lookup"
	// None: keys are ignored and bills cannot be searched.
	None Mode = "none"
)

var errKeyReused = errors.New("the idempotency key was used with another body")

// book keeps the bills in memory and in the journal.
type book struct {
	mode    Mode
	journal *journal

	mu     sync.Mutex
	next   int
	bills  []Bill
	byKey  map[string]entry
	flight map[string]chan struct{}
	// orders are those that have a bill; duplicates counts bills beyond the first.
	orders     map[string]bool
	duplicates int
}

func openBook(path string, mode Mode) (*book, error) {
	j, entries, err := openJournal(path)
	if err != nil {
		return nil, err
	}
	b := &book{mode: mode, journal: j, byKey: map[string]entry{}, flight: map[string]chan struct{}{}, orders: map[string]bool{}}
	for _, e := range entries {
		b.insert(e)
		b.next++
	}
	return b, nil
}

func (b *book) insert(e entry) {
	b.bills = append(b.bills, e.Bill)
	if b.orders[e.Bill.Order] {
		b.duplicates++
	}
	b.orders[e.Bill.Order] = true
	if e.Key != "" {
		b.byKey[e.Key] = e
	}
}

// enter admits one creation per key at a time: a second one with the same key
// waits for the first. The caller must call leave.
func (b *book) enter(key string) (leave func()) {
	if key == "" {
		return func() {}
	}
	for {
		b.mu.Lock()
		other, busy := b.flight[key]
		if !busy {
			mine := make(chan struct{})
			b.flight[key] = mine
			b.mu.Unlock()
			return func() {
				b.mu.Lock()
				delete(b.flight, key)
				b.mu.Unlock()
				close(mine)
			}
		}
		b.mu.Unlock()
		<-other
	}
}

// find returns the bill that a key made, if any.
func (b *book) find(key, digest string) (bill Bill, found bool, err error) {
	if key == "" {
		return Bill{}, false, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	e, found := b.byKey[key]
	if found && e.Digest != digest {
		return Bill{}, false, errKeyReused
	}
	return e.Bill, found, nil
}

// record writes a bill. It returns after the bill is on disk.
func (b *book) record(key, digest string, draft Draft) (Bill, error) {
	b.mu.Lock()
	b.next++
	bill := Bill{Number: fmt.Sprintf("B-%06d", b.next), TotalCents: draft.total(), Draft: draft}
	b.mu.Unlock()
	e := entry{Key: key, Digest: digest, Bill: bill}
	if err := b.journal.append(e); err != nil {
		return Bill{}, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.insert(e)
	return bill, nil
}

func (b *book) list(order string) []Bill {
	b.mu.Lock()
	bills := slices.Clone(b.bills)
	b.mu.Unlock()
	slices.SortFunc(bills, func(x, y Bill) int { return cmp.Compare(x.Number, y.Number) })
	if order != "" {
		bills = slices.DeleteFunc(bills, func(bill Bill) bool { return bill.Order != order })
	}
	return bills
}

func (b *book) get(number string) (Bill, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i := slices.IndexFunc(b.bills, func(bill Bill) bool { return bill.Number == number })
	if i < 0 {
		return Bill{}, false
	}
	return b.bills[i], true
}

// truth counts what is recorded: bills, distinct keys, and bills beyond the
// first for the same order number.
func (b *book) truth() (bills, keys, duplicates int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.bills), len(b.byKey), b.duplicates
}
