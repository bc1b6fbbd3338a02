package bell

import (
	"sync"
	"time"
)

// calmFor is how long after a ring the next one for the same organization waits.
const calmFor = 2 * time.Millisecond

// calm rings at once for an organization that it was silent for, and then no more
// often than once in calmFor: whoever listens looks for all that is new.
type calm struct {
	Ringer

	mu sync.Mutex
	// again tells, of the organizations that were just rung for, whether another ring
	// has to follow.
	again map[string]bool
}

// Calm keeps a busy organization from being rung for with each thing that is new.
func Calm(r Ringer) Ringer { return &calm{Ringer: r, again: make(map[string]bool)} }

// Ring implements [Ringer].
func (c *calm) Ring(organization string) {
	c.mu.Lock()
	_, just := c.again[organization]
	c.again[organization] = just
	c.mu.Unlock()
	if just {
		return
	}
	c.Ringer.Ring(organization)
	time.AfterFunc(calmFor, func() { c.after(organization) })
}

// after rings again for what came while it was calm, or ends it.
func (c *calm) after(organization string) {
	c.mu.Lock()
	again := c.again[organization]
	delete(c.again, organization)
	c.mu.Unlock()
	if again {
		c.Ring(organization)
	}
}
