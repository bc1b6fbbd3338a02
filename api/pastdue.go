package api

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
)

const (
	// lookBatch bounds the events that are looked at in one go.
	lookBatch = 200
	// removeBatch and removeBytes bound the events, and their payloads, that one
	// transaction removes: who sends one meanwhile waits for no more than that, some
	// milliseconds. A single event may be larger.
	removeBatch = 32
	removeBytes = 8 << 20
	// removeTries bounds how often the events of one transaction are decided on anew
	// because of replays.
	removeTries = 3
)

// namespace removes what is past its time in a namespace: first what was not
// looked at yet, oldest first, then what had to stay when it was. Its error is
// errTurn when others are to be swept, too.
func (w *sweep) namespace(ctx context.Context, n store.Namespace) error {
	before := w.s.now().AddDate(0, 0, -n.RetentionDays)
	if err := w.unseen(ctx, n, before); err != nil {
		return err
	}
	for {
		held, err := w.cell.Door().HeldAfter(ctx, n.ID, w.round.held[n.ID], lookBatch)
		if err != nil || len(held) == 0 {
			return err
		}
		if err := w.batches(ctx, n, before, held, true); err != nil {
			return err
		}
		w.round.held[n.ID] = held[len(held)-1].Seq
		switch {
		case len(held) < lookBatch:
			return nil
		case w.over():
			return errTurn
		}
	}
}

// round is how far a sweep of an organization has come that takes several turns:
// which namespaces are done, and the last of the events that had to stay that was
// looked at again. Lost with its process, it begins anew.
type round struct {
	begun time.Time
	done  map[string]bool
	held  map[string]int64
}

// rounds are those that have had a turn and go on, by organization.
type rounds struct {
	mu   sync.Mutex
	kept map[string]*round
}

// of is the round to go on with, or a new one. One that another process has ended is
// of the day before.
func (s *rounds) of(org string, now time.Time) *round {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.kept[org]
	delete(s.kept, org)
	if w == nil || now.Sub(w.begun) >= sweepEvery {
		w = &round{begun: now, done: map[string]bool{}, held: map[string]int64{}}
	}
	return w
}

func (s *rounds) keep(org string, w *round) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept == nil {
		s.kept = map[string]*round{}
	}
	s.kept[org] = w
}

// unseen looks at events that were never looked at, and goes on where it was. Its
// error is errTurn when others are to be swept, too.
func (w *sweep) unseen(ctx context.Context, n store.Namespace, before time.Time) error {
	last, err := w.cell.Door().LastSweep(ctx, n.ID)
	if err != nil {
		return err
	}
	at := last.Seq
	more := true
	for more {
		begun := time.Now()
		heads, err := w.cell.Door().HeadsAfter(ctx, at, lookBatch)
		if err != nil {
			return err
		}
		more = len(heads) == lookBatch
		// No run has ended before its event came.
		if i := slices.IndexFunc(heads, func(e store.EventHead) bool { return e.ReceivedAt.After(before) }); i >= 0 {
			heads, more = heads[:i], false
		}
		if len(heads) == 0 {
			break
		}
		at = heads[len(heads)-1].Seq
		own := slices.DeleteFunc(heads, func(e store.EventHead) bool { return e.Namespace != n.ID })
		if len(own) > 0 {
			err = w.batches(ctx, n, before, own, false)
		} else {
			err = w.pace(ctx, begun)
		}
		if err != nil {
			return err
		}
		if w.over() {
			break
		}
	}
	if at > last.Seq {
		if err := w.cell.Door().Remove(ctx, store.Removal{Namespace: n, Seq: at}, store.AuditDraft{}); err != nil {
			return err
		}
	}
	if more {
		return errTurn
	}
	return nil
}

// batches removes events of the namespace in transactions that are short.
func (w *sweep) batches(ctx context.Context, n store.Namespace, before time.Time, heads []store.EventHead, again bool) error {
	for len(heads) > 0 {
		size, sum := 0, int64(0)
		for size < min(len(heads), removeBatch) && (size == 0 || sum+heads[size].Size <= removeBytes) {
			sum += heads[size].Size
			size++
		}
		if err := w.batch(ctx, n, before, heads[:size], again); err != nil {
			return err
		}
		heads = heads[size:]
	}
	return nil
}

// batch removes those of the events that are past their time, and keeps the others
// in mind, if they are not already because they are looked at again.
func (w *sweep) batch(ctx context.Context, n store.Namespace, before time.Time, heads []store.EventHead, again bool) error {
	begun := time.Now()
	for try := 1; ; try++ {
		r, err := w.decide(ctx, n, before, heads)
		if err != nil {
			return err
		}
		if len(r.Events) == 0 && again {
			return w.pace(ctx, begun)
		}
		r.Seq = heads[len(heads)-1].Seq
		draft, err := w.entry(n, before, len(r.Events))
		if err != nil {
			return err
		}
		if w.decided != nil {
			w.decided()
		}
		err = w.cell.Door().Remove(ctx, r, draft)
		if schema.CodeOf(err) == schema.CodeConflict && try < removeTries {
			continue // Somebody replays one of them: with that, its lineage stays.
		}
		if err != nil {
			return err // Somebody set another retention. The next sweep goes by that.
		}
		w.removed += len(r.Events)
		return w.pace(ctx, begun)
	}
}

// decide divides events into those whose whole lineage is past its time, and
// those that stay.
//
// Invariant 7: the runs of a lineage share the keys of their effects, which depend
// on the first of them, and each asks the ledgers of all before it. So a lineage is
// removed as a whole, or none of it.
func (w *sweep) decide(ctx context.Context, n store.Namespace, before time.Time, heads []store.EventHead) (store.Removal, error) {
	r := store.Removal{Namespace: n, Before: before}
	var roots []string
	for _, e := range heads {
		roots = append(roots, e.Root())
	}
	slices.Sort(roots)
	kin, err := w.cell.Door().Lineages(ctx, slices.Compact(roots))
	if err != nil {
		return r, err
	}
	runs, err := w.overdue(ctx, n, before, kin)
	if err != nil {
		return r, err
	}
	stays := make(map[string]bool)
	for _, e := range kin {
		if runs[e.Seq] == "" {
			stays[e.Root()] = true
		}
	}
	for _, e := range kin {
		if !stays[e.Root()] {
			r.Events, r.Runs = append(r.Events, e), append(r.Runs, runs[e.Seq])
		}
	}
	for _, e := range heads {
		if stays[e.Root()] {
			r.Held = append(r.Held, e.Seq)
		}
	}
	return r, nil
}

// overdue finds the runs, by the numbers of their events, that are past their
// time. Not among them are runs that are open or uncertain, those that failed and
// that nobody has replayed or discarded, or only since, and those of which
// somebody asked something that the cell has not read.
func (w *sweep) overdue(ctx context.Context, n store.Namespace, before time.Time, events []store.EventHead) (map[int64]string, error) {
	seqs := make([]int64, len(events))
	for i, e := range events {
		seqs[i] = e.Seq
	}
	runs, err := w.cell.Work().RunsOf(ctx, seqs)
	if err != nil {
		return nil, err
	}
	var failed, ids []string
	for _, run := range runs {
		ids = append(ids, run.ID)
		if run.State == store.RunFailed {
			failed = append(failed, run.Event)
		}
	}
	disposed, err := w.cell.Door().DisposedAt(ctx, failed)
	if err != nil {
		return nil, err
	}
	// Read after the runs: what is applied by then was asked of them before.
	applied, err := w.cell.Work().Cursor(ctx, store.CursorCommands)
	if err != nil {
		return nil, err
	}
	asked, err := w.cell.Door().LastCommands(ctx, ids)
	if err != nil {
		return nil, err
	}
	out := make(map[int64]string)
	for _, e := range events {
		run, ok := runs[e.Seq]
		if !ok || run.Event != e.ID || e.Namespace != n.ID || !store.Final(run.State) || run.EndedAt.After(before) || asked[run.ID] > applied {
			continue
		}
		if at, done := disposed[e.ID]; run.State == store.RunFailed && (!done || at.After(before)) {
			continue
		}
		out[e.Seq] = run.ID
	}
	return out, nil
}
