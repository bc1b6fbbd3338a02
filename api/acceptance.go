package api

import (
	"sync"

	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
)

// acceptance is what the log says of an accepted event: events of one kind for one
// version of a flow have it in common.
type acceptance struct {
	Kind    string `json:"kind"`
	Flow    string `json:"flow"`
	Version int    `json:"version"`
}

// mostAcceptances bounds how many details are remembered.
const mostAcceptances = 1024

// acceptances are details that were sealed before. Each is sealed once and kept once,
// for as long as the audit key is the same. What there is no room for is not shared.
type acceptances struct {
	mu     sync.Mutex
	under  seal.KeyID
	sealed map[acceptance][]byte
}

func (a *acceptances) get(c *cell, of acceptance) (sealed []byte, shared bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if under := c.keys.CurrentAudit(); a.sealed == nil || a.under != under {
		a.under, a.sealed = under, make(map[acceptance][]byte)
	}
	if sealed, ok := a.sealed[of]; ok {
		return sealed, true, nil
	}
	sealed, err = c.sealJSON(place.Audit(c.org, store.ChainDoor), of)
	if err != nil || len(a.sealed) >= mostAcceptances {
		return sealed, false, err
	}
	a.sealed[of] = sealed
	return sealed, true, nil
}

// accepting is the entry of the log for an event that is accepted.
func (c *caller) accepting(event store.Event) (store.AuditDraft, error) {
	detail, shared, err := c.cell.acceptances.get(c.cell, acceptance{Kind: event.Kind, Flow: event.Flow, Version: event.FlowVersion})
	return store.AuditDraft{
		Actor: c.actor, Action: "event.accept", Target: event.ID, Namespace: c.namespace.ID, DetailSealed: detail, DetailShared: shared,
	}, err
}
