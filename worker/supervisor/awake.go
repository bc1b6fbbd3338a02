package supervisor

import (
	"slices"

	"github.com/tenonhq/tenon/schema/store"
)

// Awake lists the organizations whose cells this host runs now, without those that
// it makes or removes.
func (h *Host) Awake() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	for organization, c := range h.cells {
		if c.state != store.CellProvisioning && c.state != store.CellDeleting {
			out = append(out, organization)
		}
	}
	slices.Sort(out)
	return out
}
