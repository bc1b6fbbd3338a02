package worker

import (
	"context"
	"errors"
	"slices"

	"github.com/tenonhq/tenon/schema/store"
)

// A committed run without a carrier waits: for its turn among the runs of its
// key, for its flow's share, or for the flow's own limit. Rows are committed in
// the order of their events; which of them gets a carrier is decided here.

// admit tells which of the runs of these events get a carrier at once. The
// others are committed without one.
func (r *relay) admit(ctx context.Context, events []store.Event) ([]bool, error) {
	held, err := r.held(ctx, events)
	if err != nil {
		return nil, err
	}
	admitted := make([]bool, len(events))
	r.mu.Lock()
	defer r.mu.Unlock()
	room := make(map[string]int)
	total := r.shares.capacity - len(r.shares.open)
	for i, ev := range events {
		left, ok := room[ev.Flow]
		if !ok {
			left = r.shares.room(ev.Flow)
			if r.shares.lines[ev.Flow] || ev.MaxRuns > 0 {
				left = 0 // Others of the flow come first, or are to be counted.
			}
		}
		admitted[i] = !held[i] && min(left, total) > 0
		if admitted[i] {
			left--
			total--
		}
		room[ev.Flow] = left
	}
	return admitted, nil
}

// held tells which of the events have to wait for an earlier one of their key:
// its run has not ended, or is uncertain.
func (r *relay) held(ctx context.Context, events []store.Event) ([]bool, error) {
	var keys []string
	for _, ev := range events {
		if ev.OrderKey != "" {
			keys = append(keys, ev.OrderKey)
		}
	}
	held := make([]bool, len(events))
	if len(keys) == 0 {
		return held, nil
	}
	busy, err := r.cell.Work().BusyKeys(ctx, keys)
	if err != nil {
		return nil, err
	}
	for i, ev := range events {
		if ev.OrderKey != "" {
			held[i], busy[ev.OrderKey] = busy[ev.OrderKey], true
		}
	}
	return held, nil
}

// line notes that runs of these events wait.
func (r *relay) line(events []store.Event, admitted []bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, ev := range events {
		if !admitted[i] {
			r.shares.lines[ev.Flow] = true
		}
	}
}

// startWaiting gives carriers to runs that may have one now.
func (r *relay) startWaiting(ctx context.Context) error {
	if r.down.Load() {
		return nil
	}
	r.mu.Lock()
	flows := r.shares.next()
	r.mu.Unlock()
	var failed error
	for _, flow := range flows {
		// One line that cannot be read holds no other up.
		if err := r.startLine(ctx, flow); err != nil {
			r.look(flow)
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

func (r *relay) startLine(ctx context.Context, flow string) error {
	// What ends from here on has the line looked at again.
	r.mu.Lock()
	r.shares.lines[flow] = false
	room := min(takeAtOnce, r.shares.room(flow))
	r.mu.Unlock()
	room, err := r.limited(ctx, flow, room)
	if err != nil || room <= 0 {
		return err
	}
	runs, more, err := r.cell.Work().WaitingRuns(ctx, flow, room)
	if err != nil {
		return err
	}
	r.mu.Lock()
	if !more {
		delete(r.shares.lines, flow)
	}
	// Those that could not be taken over before are tried again with the sweep.
	runs = slices.DeleteFunc(runs, func(run store.Run) bool {
		_, lost := r.lost[run.ID]
		return lost
	})
	r.mu.Unlock()
	r.takeOver(ctx, runs)
	return nil
}

// limited bounds room by the flow's own limit, where it has one.
func (r *relay) limited(ctx context.Context, flow string, room int) (int, error) {
	most, err := r.cell.Door().FlowLimit(ctx, flow)
	if err != nil || most == 0 {
		return room, err
	}
	begun, err := r.cell.Work().Carried(ctx, flow)
	return min(room, most-begun), err
}

// mayStart tells whether a run waits for nothing but a carrier.
func (r *relay) mayStart(ctx context.Context) (bool, error) {
	flows, err := r.cell.Work().WaitingFlows(ctx)
	if err != nil {
		return false, err
	}
	for _, flow := range flows {
		room, err := r.limited(ctx, flow, 1)
		if err != nil {
			return false, err
		}
		if room <= 0 {
			continue
		}
		if runs, _, err := r.cell.Work().WaitingRuns(ctx, flow, 1); err != nil || len(runs) > 0 {
			return true, err
		}
	}
	return false, nil
}

// look has a flow's line looked at in the next pass.
func (r *relay) look(flow string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shares.lines[flow] = true
}

// lineUp finds the lines that the process before left.
func (r *relay) lineUp(ctx context.Context) error {
	flows, err := r.cell.Work().WaitingFlows(ctx)
	if err != nil {
		return err
	}
	for _, flow := range flows {
		r.look(flow)
	}
	return nil
}
