package api

import (
	"cmp"
	"context"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
)

const (
	day = 24 * time.Hour
	// rotationDays is after how many days a credential should be replaced,
	// unless its connection says otherwise; maxRotationDays is the most it can say.
	rotationDays, maxRotationDays = 90, 180
	// dueSoon is how long before its rotation is due a credential has a warning.
	dueSoon = 14 * day
	// unusedFor is after how long without use a credential has a warning.
	unusedFor = 30 * day
)

// The states of a credential, as the API shows it.
const (
	credentialCurrent   = "current"
	credentialProving   = "proving"
	credentialFailed    = "failed"
	credentialRevoked   = "revoked"
	credentialSuspended = "suspended"
)

// Credential is what can be known of a credential. Its values cannot
// (invariant 1). What the API wrote and what the cell found out are one view.
type Credential struct {
	Connection string         `json:"connection"`
	Name       string         `json:"name" doc:"Name of the connection."`
	Version    int            `json:"version" doc:"The one entered last."`
	InUse      int            `json:"in_use" doc:"The version that calls use; an older one while the new one is not proven, 0 when none is."`
	Scheme     string         `json:"scheme" enum:"bearer,header,query,basic,oauth2,hmac,sigv4,mtls,free"`
	State      string         `json:"state" enum:"current,proving,failed,revoked,suspended" doc:"proving: the test call has yet to show that it works. failed: it did not, and the version before stays in use where there is one. suspended: somebody tampered with it."`
	CreatedBy  string         `json:"created_by"`
	CreatedAt  time.Time      `json:"created_at"`
	RotateBy   time.Time      `json:"rotate_by" doc:"When it should be replaced."`
	LastUsedAt *time.Time     `json:"last_used_at,omitempty" doc:"To within half a minute."`
	Proof      *Proof         `json:"proof,omitempty" doc:"Whether it works, as far as that is known."`
	Suspended  *Suspension    `json:"suspended,omitempty"`
	Warnings   []seal.Warning `json:"warnings" nullable:"false" doc:"What somebody should look at. None quotes a value."`
}

// Proof is what is known of whether a version works.
type Proof struct {
	State  string    `json:"state" enum:"pending,trial,failed,proven" doc:"trial: the connection has no test call, so its next answer shows."`
	At     time.Time `json:"at"`
	Reason string    `json:"reason,omitempty"`
	Hint   string    `json:"hint,omitempty"`
}

// Suspension says why nothing is sent with a credential.
type Suspension struct {
	At     time.Time `json:"at"`
	Reason string    `json:"reason"`
}

// custody is what the cell knows of a connection's credential.
type custody struct {
	config.Custody
	usedAt *time.Time
}

func (c *caller) custody(ctx context.Context, connection string) (custody, error) {
	row, err := c.cell.Work().GetCustody(ctx, connection)
	if schema.CodeOf(err) == schema.CodeNotFound {
		return custody{}, nil
	}
	if err != nil {
		return custody{}, err
	}
	return c.cell.custody(row)
}

func (c *cell) custody(row store.Custody) (custody, error) {
	k := custody{usedAt: row.UsedAt}
	if len(row.RecordSealed) == 0 {
		return k, nil
	}
	return k, c.openJSON(place.Custody(c.org, row.Connection), row.RecordSealed, &k.Custody)
}

// inUse is the version that the cell uses of those that have their ciphertext,
// newest first; see activities.custodian.
func inUse(k config.Custody, live []store.Credential) int {
	switch {
	case len(live) == 0 || suspension(k, live[0].Version) != nil:
		return 0
	case len(live) > 1 && live[1].Version >= k.Floor && !k.Proof.Of(live[0].Version, config.ProofProven) && !k.Proof.Of(live[0].Version, config.ProofTrial):
		return live[1].Version
	}
	return live[0].Version
}

// suspension is the one that holds for the version entered last.
func suspension(k config.Custody, version int) *Suspension {
	if k.Suspension == nil || version > k.Suspension.Version {
		return nil
	}
	return &Suspension{At: k.Suspension.At, Reason: k.Suspension.Reason}
}

// stateOf is the state of the version entered last.
func stateOf(k config.Custody, latest store.Credential, used int) string {
	switch {
	case latest.State != store.CredentialCurrent:
		return credentialRevoked
	case suspension(k, latest.Version) != nil:
		return credentialSuspended
	case k.Proof.Of(latest.Version, config.ProofFailed):
		return credentialFailed
	case used != latest.Version:
		return credentialProving
	}
	return credentialCurrent
}

// view merges both sides.
func (s *Server) view(row store.Connection, setup config.Connection, latest store.Credential, k custody, live []store.Credential) Credential {
	out := Credential{
		Connection: row.ID, Name: row.Name, Version: latest.Version, InUse: inUse(k.Custody, live), Scheme: row.Scheme,
		CreatedBy: latest.CreatedBy, CreatedAt: latest.CreatedAt, RotateBy: rotateBy(setup, latest), LastUsedAt: k.usedAt,
		Suspended: suspension(k.Custody, latest.Version), Warnings: []seal.Warning{},
	}
	if k.Proof != nil && k.Proof.Version == latest.Version {
		out.Proof = &Proof{State: k.Proof.State, At: k.Proof.At, Reason: k.Proof.Reason, Hint: k.Proof.Hint}
	}
	if out.State = stateOf(k.Custody, latest, out.InUse); out.State != credentialRevoked {
		out.Warnings = s.warnings(out)
	}
	return out
}

func rotateBy(setup config.Connection, latest store.Credential) time.Time {
	if latest.RotateBy != nil {
		return *latest.RotateBy
	}
	return latest.CreatedAt.Add(time.Duration(cmp.Or(setup.RotationDays, rotationDays)) * day)
}

// idleSince is since when the credential is not used.
func (c Credential) idleSince() time.Time {
	if c.LastUsedAt != nil && c.LastUsedAt.After(c.CreatedAt) {
		return *c.LastUsedAt
	}
	return c.CreatedAt
}

func (s *Server) warnings(c Credential) []seal.Warning {
	out := []seal.Warning{}
	warn := func(so bool, pointer, message, hint string) {
		if so {
			out = append(out, seal.Warning{Pointer: pointer, Message: message, Hint: hint})
		}
	}
	now := s.now()
	warn(c.State == credentialSuspended, "/suspended", "the connection is suspended: nothing is sent", "Find out who changed it, see that its settings are right, and enter the credential again.")
	warn(c.State == credentialFailed, "/proof", "the version entered last does not work", "Enter it again, or have it tested again when the other system is back.")
	warn(!now.Before(c.RotateBy), "/rotate_by", "its rotation is overdue", "Make a new one at the other system and enter it.")
	warn(now.Before(c.RotateBy) && !now.Before(c.RotateBy.Add(-dueSoon)), "/rotate_by", "its rotation is due soon", "Make a new one at the other system and enter it.")
	warn(now.Sub(c.idleSince()) >= unusedFor, "/last_used_at", "it was not used for a month or longer", "Revoke it if nothing needs it.")
	return out
}

func (s *Server) checkRotation(by *time.Time) error {
	now := s.now()
	if by != nil && (!by.After(now) || by.After(now.Add(maxRotationDays*day))) {
		return schema.Errorf(schema.CodeInvalid, "a rotation is due in the next %d days", maxRotationDays).At("/rotate_by")
	}
	return nil
}

func (s *Server) showCredential(ctx context.Context, c *caller, row store.Connection) (*Output[Credential], error) {
	latest, err := c.credential(ctx, row)
	if err != nil {
		return nil, err
	}
	setup, err := c.setup(row)
	if err != nil {
		return nil, err
	}
	k, err := c.custody(ctx, row.ID)
	if err != nil {
		return nil, err
	}
	live, err := c.cell.Door().LiveCredentials(ctx, row.ID)
	if err != nil {
		return nil, err
	}
	return answer(s.view(row, setup, latest, k, live)), nil
}

type listCredentials struct {
	UnusedDays int    `query:"unused_days" minimum:"0" maximum:"3650" doc:"Only those that were not used for so many days."`
	DueDays    int    `query:"due_days" minimum:"0" maximum:"180" doc:"Only those whose rotation is due within so many days, or overdue."`
	State      string `query:"state" enum:"current,proving,failed,revoked,suspended"`
}

func (s *Server) listCredentials(ctx context.Context, c *caller, in *listCredentials) (*Output[List[Credential]], error) {
	latest, err := c.cell.Door().LatestCredentials(ctx, c.namespace.ID)
	if err != nil {
		return nil, err
	}
	page := List[Credential]{Items: []Credential{}}
	now := s.now()
	for _, k := range latest {
		row, err := c.cell.Door().GetConnection(ctx, c.namespace.ID, k.Connection)
		if err != nil {
			return nil, err
		}
		shown, err := s.showCredential(ctx, c, row)
		if err != nil {
			return nil, err
		}
		v := shown.Body
		if (in.State != "" && v.State != in.State) ||
			(in.UnusedDays > 0 && (v.State == credentialRevoked || now.Sub(v.idleSince()) < time.Duration(in.UnusedDays)*day)) ||
			(in.DueDays > 0 && (v.State == credentialRevoked || v.RotateBy.After(now.Add(time.Duration(in.DueDays)*day)))) {
			continue
		}
		page.Items = append(page.Items, v)
	}
	return answer(page), nil
}
