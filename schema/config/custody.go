package config

import (
	"math"
	"time"

	"github.com/tenonhq/tenon/schema"
)

// CommandCredential tells the cell what was done to a connection's credential;
// its arguments are a CredentialCommand.
const CommandCredential = "credential"

// What was done to a credential.
const (
	// CredentialEntered: a new version was saved.
	CredentialEntered = "entered"
	// CredentialRevoked: every version was revoked.
	CredentialRevoked = "revoked"
	// CredentialTest: somebody asks for a test call.
	CredentialTest = "test"
)

// CredentialCommand is the arguments of a command about a credential.
type CredentialCommand struct {
	Connection string `json:"connection"`
	// Act is entered, revoked or test.
	Act string `json:"act"`
	// Version is the one that was entered, or is tested; of a revocation, the
	// last that was entered before.
	Version int `json:"version"`
	// Lowest is the lowest version that may be used after one was entered: the
	// one that is kept beside it, or itself.
	Lowest int `json:"lowest,omitempty"`
}

// The states of a credential's version, as the cell sees it.
const (
	// ProofPending: the test call is being made, or will be.
	ProofPending = "pending"
	// ProofTrial: the connection has no test call; the first answer to a call
	// shows.
	ProofTrial = "trial"
	// ProofFailed: the system refused it, or could not be asked. The version
	// before stays in use.
	ProofFailed = "failed"
	// ProofProven: the system took it.
	ProofProven = "proven"
)

// Custody is what the cell knows of one connection's credential. It is written
// by the cell alone.
type Custody struct {
	// Floor is the lowest version that may be used: what is below was replaced
	// by a proven one, or revoked. It never goes down, so that an older version
	// that is put back does not open (invariant 1).
	Floor int `json:"floor"`
	// Entered is the last version that the cell was told of.
	Entered int `json:"entered"`
	// Proof is of the version that was tested last.
	Proof *Proof `json:"proof,omitempty"`
	// Suspension is set while nothing is sent with the credential.
	Suspension *Suspension `json:"suspension,omitempty"`
}

// Floor is what is known of a connection's credential apart from every database,
// where who puts an older copy of one back does not reach. It never goes down.
type Floor struct {
	// Lowest is the lowest version that may be used, Entered the last one that
	// the cell was told of.
	Lowest  int `json:"lowest"`
	Entered int `json:"entered"`
}

// Max is the higher of both, each for itself.
func (f Floor) Max(o Floor) Floor {
	return Floor{Lowest: max(f.Lowest, o.Lowest), Entered: max(f.Entered, o.Entered)}
}

// Known is what the record knows that must never be forgotten.
func (c Custody) Known() Floor {
	f := Floor{Lowest: c.Floor, Entered: c.Entered}
	if c.Suspension != nil {
		f.Lowest = max(f.Lowest, c.Suspension.Version+1)
	}
	return f
}

// Raise takes what is known elsewhere into the record, and tells whether the
// record was behind it: it is of an earlier time then.
func (c *Custody) Raise(f Floor) (behind bool) {
	known := c.Known()
	if known.Max(f) == known {
		return false
	}
	c.Floor, c.Entered = max(c.Floor, f.Lowest), max(c.Entered, f.Entered)
	return true
}

// Next is the version that is entered next, behind the one that was saved last:
// none that was ever used, or refused, has its number.
func (c Custody) Next(saved int) (int, error) {
	known := c.Known()
	last := max(saved, known.Entered, known.Lowest-1)
	if last >= math.MaxInt32 {
		return 0, schema.Errorf(schema.CodeConflict, "what the cell knows of this connection's credential was changed").Advise("Make a new connection.")
	}
	return last + 1, nil
}

// Proof says what is known of whether a version works.
type Proof struct {
	Version int       `json:"version"`
	State   string    `json:"state"`
	At      time.Time `json:"at"`
	// Reason says why it failed; it quotes no value and no reply.
	Reason string `json:"reason,omitempty"`
	Hint   string `json:"hint,omitempty"`
}

// Of tells whether the proof is of the version and has the state.
func (p *Proof) Of(version int, state string) bool {
	return p != nil && p.Version == version && p.State == state
}

// Suspension says that somebody tampered with the credential or with what it
// may be used for, or that who issued it takes it no more. It ends when a newer
// version is saved.
type Suspension struct {
	// Version is the last that was entered when it began.
	Version int       `json:"version"`
	At      time.Time `json:"at"`
	Reason  string    `json:"reason"`
}

// Of tells whether the version may not be used for it.
func (s *Suspension) Of(version int) bool { return s != nil && version <= s.Version }
