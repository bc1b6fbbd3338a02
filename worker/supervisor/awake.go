package supervisor

import (
	"maps"
	"slices"
)

// Awake lists the organizations whose cells this host runs now.
func (h *Host) Awake() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(maps.Keys(h.cells))
}
