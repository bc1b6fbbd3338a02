package activities

import (
	"context"
	"encoding/json"
	"maps"
	"math"
	"sync"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/store"
)

// custodian keeps what the cell knows of its credentials. One process of a cell
// writes it, so that what was read once is current.
type custodian struct {
	e *Executor

	// writes lets one change happen at a time.
	writes sync.Mutex
	mu     sync.Mutex
	known  map[string]config.Custody
	// floors are what is known apart from the databases.
	floors map[string]config.Floor
	used   map[string]store.CredentialUse
	// tests are the test calls that run, by connection.
	tests map[string]int
	// unread are the connections whose record did not open, until that is on record.
	unread map[string]bool
}

func newCustodian(e *Executor) *custodian {
	floors := maps.Clone(e.cfg.Floors)
	if floors == nil {
		floors = map[string]config.Floor{}
	}
	return &custodian{
		e: e, known: map[string]config.Custody{}, floors: floors, used: map[string]store.CredentialUse{}, tests: map[string]int{}, unread: map[string]bool{},
	}
}

// tampered is what is known of a connection whose record does not open: nothing,
// so nothing is sent for it anymore.
func tampered(at time.Time) config.Custody {
	return config.Custody{Floor: math.MaxInt32, Suspension: &config.Suspension{
		Version: math.MaxInt32, At: at, Reason: "what the cell knows of this connection's credential was changed; make a new connection",
	}}
}

func (c *custodian) get(ctx context.Context, connection string) (config.Custody, error) {
	c.mu.Lock()
	k, ok := c.known[connection]
	c.mu.Unlock()
	if ok {
		return k, nil
	}
	row, err := c.e.cfg.Cell.Work().GetCustody(ctx, connection)
	if err != nil && schema.CodeOf(err) != schema.CodeNotFound {
		return config.Custody{}, err
	}
	k, whole := c.open(row)
	c.mu.Lock()
	defer c.mu.Unlock()
	if newer, ok := c.known[connection]; ok {
		return newer, nil
	}
	// Invariant 1: a record of an earlier time does not bring back what was
	// replaced or revoked since.
	if !k.Raise(c.floors[connection]) && err != nil {
		return k, nil
	}
	c.known[connection] = k
	if !whole {
		c.unread[connection] = true
	}
	return k, nil
}

// report puts it on record that what the cell knows of a connection was changed,
// once in this process, and has somebody told. What was found stays as it is: who
// puts the right record back has a connection that works.
func (c *custodian) report(ctx context.Context, conn store.Connection) error {
	c.mu.Lock()
	unread := c.unread[conn.ID]
	c.mu.Unlock()
	if !unread {
		return nil
	}
	reason := tampered(c.e.now()).Suspension.Reason
	err := c.e.cfg.Cell.Work().RaiseAlert(ctx, alertOf(store.AlertSuspended, conn.Namespace, conn.ID, ""),
		c.draft("connection.suspended", conn.ID, conn.Namespace, map[string]any{"reason": reason}))
	if err != nil {
		return err
	}
	c.mu.Lock()
	delete(c.unread, conn.ID)
	c.mu.Unlock()
	c.e.cfg.Logger.ErrorContext(ctx, "a connection is suspended", "connection", conn.ID, "namespace", conn.Namespace, "reason", reason)
	c.e.cfg.Alerted()
	return nil
}

// open opens a record, and tells whether it is what the cell wrote.
func (c *custodian) open(row store.Custody) (k config.Custody, whole bool) {
	if len(row.RecordSealed) == 0 {
		return k, true
	}
	plain, err := c.e.cfg.Data.Open(place.Custody(c.e.cfg.Organization, row.Connection), row.RecordSealed)
	if err != nil || json.Unmarshal(plain, &k) != nil {
		return tampered(c.e.now()), false
	}
	return k, true
}

// change has one writer change what is known of a connection. Change returns
// false when there is nothing to write; seq is the command's that asks for it,
// or 0.
func (c *custodian) change(ctx context.Context, connection, namespace string, seq int64, change func(*config.Custody) ([]store.AuditDraft, bool)) error {
	c.writes.Lock()
	defer c.writes.Unlock()
	k, err := c.get(ctx, connection)
	if err != nil {
		return err
	}
	was := k.Suspension
	audit, changed := change(&k)
	if !changed && seq == 0 {
		return nil
	}
	plain, err := json.Marshal(k)
	if err != nil {
		return schema.Errorf(schema.CodeInternal, "what is known of a credential does not encode: %w", err)
	}
	row := store.Custody{
		Connection: connection, Namespace: namespace,
		RecordSealed: c.e.cfg.Data.Seal(place.Custody(c.e.cfg.Organization, connection), plain),
	}
	if k.Suspension != nil && (was == nil || was.Version < k.Suspension.Version) {
		row.Alerts = []store.Alert{alertOf(store.AlertSuspended, namespace, connection, "")}
	}
	if seq > 0 {
		err = c.e.cfg.Cell.Work().ApplyCustody(ctx, seq, row, audit...)
	} else {
		err = c.e.cfg.Cell.Work().PutCustody(ctx, row, audit...)
	}
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.known[connection] = k
	c.mu.Unlock()
	c.raise(map[string]config.Floor{connection: k.Known()})
	if len(row.Alerts) > 0 {
		c.e.cfg.Alerted()
	}
	return nil
}

// draft is an audit entry of the cell about a connection.
func (c *custodian) draft(action, connection, namespace string, detail map[string]any) store.AuditDraft {
	d := store.AuditDraft{Actor: "system", Action: action, Target: connection, Namespace: namespace}
	// A map of strings and numbers always encodes.
	if plain, err := json.Marshal(detail); err == nil {
		d.DetailSealed = c.e.cfg.Data.Seal(place.Audit(c.e.cfg.Organization, store.ChainWork), plain)
	}
	return d
}

// suspend stops a connection whose credential, or what it may be used for, was
// tampered with, and returns what the call is told. Nothing is sent for it until
// a newer version is saved (invariants 1 and 3). The error is another one than
// CodeRefused when the suspension could not be recorded.
func (c *custodian) suspend(ctx context.Context, conn store.Connection, version int, reason string) error {
	return c.stop(ctx, conn, reason, func(k *config.Custody) int { return max(version, conn.CredentialVersion, k.Entered) })
}

// exhausted stops one version of a credential that has come to its end, by the
// word of who issued it. With no newer one the connection is suspended.
func (c *custodian) exhausted(ctx context.Context, conn store.Connection, version int, reason string) error {
	newer := false
	err := c.change(ctx, conn.ID, conn.Namespace, 0, func(k *config.Custody) ([]store.AuditDraft, bool) {
		if newer = max(conn.CredentialVersion, k.Entered) > version; !newer || k.Floor > version {
			return nil, false
		}
		k.Floor = version + 1
		return []store.AuditDraft{c.draft("credential.exhausted", conn.ID, conn.Namespace, map[string]any{"version": version, "reason": reason})}, true
	})
	switch {
	case err != nil:
		return err
	case newer:
		return schema.Errorf(schema.CodeRefused, "version %d of the credential is at its end: %s", version, reason)
	}
	return c.stop(ctx, conn, reason, func(*config.Custody) int { return version })
}

// stop suspends a connection up to a version.
func (c *custodian) stop(ctx context.Context, conn store.Connection, reason string, upTo func(*config.Custody) int) error {
	err := c.change(ctx, conn.ID, conn.Namespace, 0, func(k *config.Custody) ([]store.AuditDraft, bool) {
		version := upTo(k)
		if k.Suspension != nil && k.Suspension.Version >= version {
			return nil, false
		}
		k.Suspension = &config.Suspension{Version: version, At: c.e.now(), Reason: reason}
		return []store.AuditDraft{c.draft("connection.suspended", conn.ID, conn.Namespace, map[string]any{"version": version, "reason": reason})}, true
	})
	if err != nil {
		return err
	}
	c.e.cfg.Logger.ErrorContext(ctx, "a connection was suspended", "connection", conn.ID, "namespace", conn.Namespace, "reason", reason)
	return suspended(conn.ID, reason)
}

func suspended(connection, reason string) error {
	return schema.Errorf(schema.CodeRefused, "connection %s is suspended: %s", connection, reason).
		Advise("Look at the audit log, see that the connection's settings are right, and enter the credential again.")
}

// choose picks the version of a connection's credential that a call uses; trial
// means that its answer shows whether the version works. A nil row is that of a
// connection that has no credential.
func (c *custodian) choose(ctx context.Context, conn connection) (row *store.Credential, trial bool, err error) {
	// First what this side knows, then the door: the door may be ahead of what
	// the cell was told, but never behind it.
	k, err := c.get(ctx, conn.row.ID)
	if err == nil {
		err = c.report(ctx, conn.row)
	}
	if err != nil {
		return nil, false, err
	}
	live, err := c.e.cfg.Cell.Door().LiveCredentials(ctx, conn.row.ID)
	if err != nil {
		return nil, false, err
	}
	if k.Suspension != nil && (len(live) == 0 || k.Suspension.Of(live[0].Version)) {
		return nil, false, suspended(conn.row.ID, k.Suspension.Reason)
	}
	switch {
	case len(live) == 0 && conn.row.CredentialVersion == 0 && k.Entered > 0:
		return nil, false, c.suspend(ctx, conn.row, 0, "its credential was taken out of the record")
	case len(live) == 0 && conn.row.CredentialVersion == 0:
		return nil, false, nil
	case len(live) == 0:
		return nil, false, schema.Errorf(schema.CodeRefused, "the credential of connection %s was revoked", conn.row.ID).Advise("Enter a new one.")
	case live[0].Version < max(k.Floor, k.Entered):
		return nil, false, c.suspend(ctx, conn.row, live[0].Version, "an older version of its credential was put back")
	}
	newest := live[0]
	if newest.Version > k.Entered {
		// The cell was not told of it, yet or ever: a version that somebody else
		// put there does not open, and is not passed over in silence.
		opened, err := c.e.open(ctx, conn, newest)
		switch {
		case schema.CodeOf(err) == schema.CodeInvalid && len(live) > 1 && live[1].Version >= k.Floor:
			// A slip of whoever sealed it: what worked before goes on working.
			return &live[1], false, nil
		case err != nil:
			return nil, false, err
		}
		opened.Wipe()
	}
	if k.Proof.Of(newest.Version, config.ProofProven) {
		return &newest, false, nil
	}
	if len(live) > 1 && live[1].Version >= k.Floor && !k.Suspension.Of(live[1].Version) && !k.Proof.Of(newest.Version, config.ProofTrial) {
		// Until the test call has shown that the new one works, or when it has
		// shown that it does not.
		return &live[1], false, nil
	}
	return &newest, true, nil
}

// answered takes what the answer to a call on trial shows (RFC 9110, 15.5.2
// and 15.5.8). Other refusals may have other reasons.
func (c *custodian) answered(ctx context.Context, conn store.Connection, version, status int) error {
	switch {
	case status >= 200 && status < 400:
		return c.conclude(ctx, conn, version, config.Proof{State: config.ProofProven})
	case status == 401, status == 407:
		return c.conclude(ctx, conn, version, config.Proof{
			State: config.ProofFailed, Reason: "the system refused it at its first use", Hint: "Look at its rights there, and enter it again.",
		})
	}
	return nil
}

// conclude records what a version's test, or trial, has shown. With success
// what is older may not be used any more.
func (c *custodian) conclude(ctx context.Context, conn store.Connection, version int, proof config.Proof) error {
	return c.change(ctx, conn.ID, conn.Namespace, 0, func(k *config.Custody) ([]store.AuditDraft, bool) {
		switch {
		case k.Proof != nil && (k.Proof.Version > version || k.Proof.Of(version, proof.State)),
			// That there is no test call takes nothing from what a use has shown.
			proof.State == config.ProofTrial && k.Proof.Of(version, config.ProofProven):
			return nil, false
		}
		proof.Version, proof.At = version, c.e.now()
		k.Proof = &proof
		if proof.State == config.ProofTrial {
			return nil, true
		}
		detail := map[string]any{"version": version}
		if proof.State == config.ProofProven {
			k.Floor = max(k.Floor, version)
		}
		if proof.Reason != "" {
			detail["reason"] = proof.Reason
		}
		return []store.AuditDraft{c.draft("credential."+proof.State, conn.ID, conn.Namespace, detail)}, true
	})
}

// touch notes a use, to be written with others.
func (c *custodian) touch(conn store.Connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.used[conn.ID] = store.CredentialUse{Connection: conn.ID, Namespace: conn.Namespace, At: c.e.now()}
}

// FlushUse writes when credentials were used last. The uses themselves are in
// the audit log by then; a process that dies before loses a time of day.
func (e *Executor) FlushUse(ctx context.Context) error {
	c := e.custody
	c.mu.Lock()
	uses := make([]store.CredentialUse, 0, len(c.used))
	for _, u := range c.used {
		uses = append(uses, u)
	}
	clear(c.used)
	c.mu.Unlock()
	if len(uses) == 0 {
		return nil
	}
	err := e.cfg.Cell.Work().TouchCredentials(ctx, uses)
	if err == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, u := range uses {
		if _, newer := c.used[u.Connection]; !newer {
			c.used[u.Connection] = u
		}
	}
	return err
}
