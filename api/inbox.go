package api

import (
	"context"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/crash"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/store"
)

// inbound is an event before it is kept.
type inbound struct {
	kind    string
	source  string // a source's id, or the flow's for a call
	dedupe  string // empty: nothing repeats it
	flow    store.Flow
	digest  string // of the flow's newest version, which the event pins
	payload config.Event
	order   string // what its run waits for others by; empty: nothing
	// with is what a message was verified with; remembered: it was read for another one
	// before, and may have changed since.
	with       *store.Intake
	remembered bool

	// id and sealed are what accept makes of it, once.
	id     string
	sealed []byte
}

// latest finds a flow of the caller's namespace and its newest version.
func (c *caller) latest(ctx context.Context, idOrName string) (store.Flow, store.FlowVersion, error) {
	flow, err := c.cell.Door().GetFlow(ctx, c.namespace.ID, idOrName)
	if err != nil {
		return store.Flow{}, store.FlowVersion{}, err
	}
	version, err := c.cell.Door().GetFlowVersion(ctx, flow.ID, flow.Latest)
	return flow, version, err
}

// accept keeps an event and wakes the cell. It returns only after the event is
// on disk (invariant 6); one that was kept before is returned as it is stored.
func (s *Server) accept(ctx context.Context, c *caller, in *inbound) (id string, repeated *store.Event, err error) {
	if err := paused(in.flow); err != nil {
		return "", nil, err
	}
	if in.id == "" {
		in.id = schema.NewID(schema.PrefixEvent)
	}
	event := store.Event{
		ID: in.id, Namespace: c.namespace.ID, Source: in.source, Kind: in.kind,
		Flow: in.flow.ID, FlowVersion: in.flow.Latest, Digest: in.digest, ReceivedAt: s.now(), OrderKey: in.order,
	}
	event.DedupeKey = event.ID
	if in.dedupe != "" {
		event.DedupeKey = dedupe(in.source, in.dedupe)
	}
	if full := c.cell.room.Check(ctx); full != nil {
		if in.remembered {
			return "", nil, store.ErrChanged // What it repeats is told to nobody before that holds.
		}
		return s.repeated(ctx, c, event, full)
	}
	if in.sealed == nil {
		if in.sealed, err = c.cell.sealPacked(place.Event(c.org, event.ID), in.payload); err != nil {
			return "", nil, err
		}
	}
	event.PayloadSealed = in.sealed
	draft, err := c.accepting(event)
	if err != nil {
		return "", nil, err
	}
	var stored store.Event
	var duplicate bool
	if in.with != nil {
		stored, duplicate, err = c.cell.Door().AcceptMessage(ctx, event, draft, *in.with)
	} else {
		stored, duplicate, err = c.cell.Door().AcceptEvent(ctx, event, draft)
	}
	if err != nil {
		return "", nil, err
	}
	crash.At(crash.EventKept)
	// A repeated event wakes the cell, too: the first may not have got that far.
	if err := s.wake(ctx, c.cell); err != nil {
		return "", nil, err
	}
	crash.At(crash.EventMarked)
	if duplicate {
		return stored.ID, &stored, nil
	}
	return stored.ID, nil, nil
}

// repeated answers for an event that there is no room for: with the one that was
// kept before, so that its sender need not go on trying, else with why not.
func (s *Server) repeated(ctx context.Context, c *caller, event store.Event, full error) (string, *store.Event, error) {
	if schema.CodeOf(full) != schema.CodeFull {
		return "", nil, full
	}
	kept, err := c.cell.Door().FindEvent(ctx, event.DedupeKey)
	switch {
	case schema.CodeOf(err) == schema.CodeNotFound:
		return "", nil, full
	case err != nil:
		return "", nil, err
	}
	return kept.ID, &kept, s.wake(ctx, c.cell)
}
