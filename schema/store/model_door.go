package store

import "time"

// The states of a connection, of a source and of a flow.
const (
	ConnectionActive    = "active"
	ConnectionSuspended = "suspended"
	ConnectionDeleted   = "deleted"

	SourceActive    = "active"
	SourceSuspended = "suspended"
	SourceDeleted   = "deleted"

	FlowActive = "active"
	// FlowPaused takes no event and begins no effect.
	FlowPaused = "paused"
)

// The states of a credential's version. The first two have their ciphertext
// still, the others have not.
const (
	// CredentialCurrent: the one entered last.
	CredentialCurrent = "current"
	// CredentialPrevious: kept until the current one is proven.
	CredentialPrevious = "previous"
	// CredentialReplaced: a newer one took its place.
	CredentialReplaced = "replaced"
	CredentialRevoked  = "revoked"
)

// Namespace is an environment inside the organization.
type Namespace struct {
	ID        string `bun:",pk"`
	Name      string
	CreatedAt time.Time
	// RetentionDays is for how long what an event left is kept after the end of
	// its run; 0 for as long as the organization is there.
	RetentionDays int
	// RetentionFrom: nothing is removed before it. Nil with RetentionDays 0.
	RetentionFrom *time.Time
}

// Connection is a connector set up for one account of one system.
type Connection struct {
	ID             string `bun:",pk"`
	Namespace      string
	Name           string
	Connector      string
	SettingsSealed []byte
	State          string
	// CredentialVersion is the version entered last; 0 when none ever was.
	CredentialVersion int
	Scheme            string
	CreatedAt         time.Time
	UpdatedAt         time.Time
}

// Credential is one sealed version of a connection's secret values.
type Credential struct {
	ID         string `bun:",pk"`
	Connection string
	Version    int
	Sealed     []byte
	// SealedTo is the id of the pair that it is sealed to. It is not kept: a
	// retired pair is refused.
	SealedTo  []byte `bun:"-"`
	State     string
	CreatedBy string
	CreatedAt time.Time
	RotateBy  *time.Time
}

// Flow names a sequence of immutable versions.
type Flow struct {
	ID        string `bun:",pk"`
	Namespace string
	Name      string
	// Latest is the number of the newest version.
	Latest int
	State  string
	// MaxRuns is how many of its runs are worked on at a time; 0 for no limit of
	// its own.
	MaxRuns   int
	CreatedAt time.Time
	UpdatedAt time.Time
}

// FlowChange is what changes of a flow; what is empty stays as it is.
type FlowChange struct {
	State   string
	MaxRuns *int
}

// FlowVersion is an immutable flow document.
type FlowVersion struct {
	Flow           string `bun:",pk"`
	Version        int    `bun:",pk"`
	Namespace      string
	Digest         string
	DocumentSealed []byte
	// Straight: no wait, listen or sub-flow, so that many runs may share a carrier.
	Straight  bool
	CreatedBy string
	CreatedAt time.Time
}

// VerifierClock stands in the row of a schedule, which is a source whose sender
// is the platform's own clock: nothing from outside is admitted (invariant 5).
const VerifierClock = "clock"

// Source receives the events of one sender for one flow.
type Source struct {
	ID           string `bun:",pk"`
	Namespace    string
	Name         string
	Flow         string
	Verifier     string
	ConfigSealed []byte
	State        string
	CreatedAt    time.Time
	UpdatedAt    time.Time
}

// Event is one inbound message. Seq orders events as they became visible. It is
// 0 for an event that was removed: then only ID is known.
type Event struct {
	Seq       int64
	ID        string
	Namespace string
	Source    string
	// Kind is webhook, call or schedule.
	Kind string
	// DedupeKey is unique for its source: the event's own id where nothing
	// repeats it, else 64 hexadecimal digits that no other source's has. Half of
	// them are kept, and it is not read back.
	DedupeKey     string
	Flow          string
	FlowVersion   int
	Digest        string
	PayloadSealed []byte
	ReceivedAt    time.Time
	// Origin is the event that this one replays, empty for none.
	Origin string
	// Lineage is the first of the events whose effects are the same as this
	// one's; empty for an event with effects of its own.
	Lineage string
	// OrderKey: the run waits for those of earlier events with the same key;
	// empty for no order.
	OrderKey string
	// MaxRuns is its flow's limit, where it was read with the event.
	MaxRuns int
}

// Command is what a person asked of a run, or did to a credential. Seq orders
// commands as they became visible.
type Command struct {
	Seq       int64
	ID        string
	Namespace string
	// Run is empty for a credential's.
	Run string
	// Kind is cancel, resolve or credential.
	Kind       string
	ArgsSealed []byte
	By         string
	CreatedAt  time.Time
}

func (n *Namespace) utc() { inUTC(&n.CreatedAt, n.RetentionFrom) }

func (c *Connection) utc() { inUTC(&c.CreatedAt, &c.UpdatedAt) }

func (c *Credential) utc() { inUTC(&c.CreatedAt, c.RotateBy) }

func (f *Flow) utc() { inUTC(&f.CreatedAt, &f.UpdatedAt) }

func (v *FlowVersion) utc() { inUTC(&v.CreatedAt) }

func (s *Source) utc() { inUTC(&s.CreatedAt, &s.UpdatedAt) }
