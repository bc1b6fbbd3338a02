package bell

import (
	"context"

	"github.com/tenonhq/tenon/schema"
)

// Ringer rings a bell.
type Ringer interface {
	// Ring tells that the organization's door has something new. It does not
	// block and does not fail: what is lost is found by a sweep.
	Ring(organization string)
	Close() error
}

// Listener hears a bell.
type Listener interface {
	// Listen sends the organizations rung for until the context ends. Those
	// that find the channel full are dropped.
	Listen(ctx context.Context, rung chan<- string)
	Close() error
}

// hear passes on what is an organization's id.
func hear(rung chan<- string, id string) {
	if schema.CheckID(schema.PrefixOrganization, id) != nil {
		return
	}
	select {
	case rung <- id:
	default:
	}
}
