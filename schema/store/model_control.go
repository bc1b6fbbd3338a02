package store

import (
	"time"

	"github.com/uptrace/bun"
)

// The states of an organization and of its cell.
const (
	OrganizationProvisioning = "provisioning"
	OrganizationActive       = "active"
	OrganizationSuspended    = "suspended"
	// OrganizationPutBack is one whose databases are not those that were signed:
	// somebody put an earlier copy of them in their place.
	OrganizationPutBack  = "put_back"
	OrganizationDeleting = "deleting"
	// OrganizationDeleted is all that is left of one: its id, and when.
	OrganizationDeleted = "deleted"

	CellProvisioning = OrganizationProvisioning
	CellActive       = OrganizationActive
	CellSuspended    = OrganizationSuspended
	// CellPutBack is a cell that no host may claim until that is accepted.
	CellPutBack  = OrganizationPutBack
	CellDeleting = OrganizationDeleting
	// CellDeleted is a cell that no host may claim anymore.
	CellDeleted = "deleted"
)

// Organization is a customer.
type Organization struct {
	ID        string `bun:",pk"`
	Name      string
	State     string
	CreatedAt time.Time
	UpdatedAt time.Time
	// TokensNotBefore is when operators' tokens were last revoked; nil for never.
	TokensNotBefore *time.Time
}

// CellRow says which host runs an organization's cell. An owner is known by
// Host and Epoch together: a host that comes back after its lease ended finds
// a higher epoch.
type CellRow struct {
	bun.BaseModel `bun:"table:cells"`

	Organization string `bun:",pk"`
	State        string
	Host         string
	Epoch        int64
	LeaseUntil   time.Time
	// Asleep is a cell that no host has to run, until WakeAt (nil: for ever) or
	// until its door is written to.
	Asleep bool
	WakeAt *time.Time
	// Touches counts the marks that the door was written to.
	Touches   int64
	UpdatedAt time.Time
}

// Key is an API key. Hash is all that is kept of its secret part.
type Key struct {
	ID string `bun:",pk"`
	// Organization is empty for a key of the platform.
	Organization string
	// Namespace is empty for a key of all namespaces.
	Namespace   string
	Name        string
	Hash        []byte
	Permissions []string `bun:"type:text"`
	CreatedAt   time.Time
	CreatedBy   string
	ExpiresAt   *time.Time
	RevokedAt   *time.Time
	LastUsedAt  *time.Time
}

// Route finds the organization of a webhook source.
type Route struct {
	Source       string `bun:",pk"`
	Organization string
}

func (o *Organization) utc() { inUTC(&o.CreatedAt, &o.UpdatedAt, o.TokensNotBefore) }

func (c *CellRow) utc() { inUTC(&c.LeaseUntil, c.WakeAt, &c.UpdatedAt) }

func (k *Key) utc() { inUTC(&k.CreatedAt, k.ExpiresAt, k.RevokedAt, k.LastUsedAt) }

func (*Route) utc() {}

// inUTC takes the location out of what a driver returned: callers compare and
// print times, and get the same from both databases.
func inUTC(times ...*time.Time) {
	for _, t := range times {
		if t != nil {
			*t = t.UTC()
		}
	}
}
