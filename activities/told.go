package activities

import (
	"context"
	"errors"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/store"
)

// testLimit bounds a test call.
const testLimit = 30 * time.Second

// testPauses are between the attempts of a test call of a system that could not
// be asked.
var testPauses = []time.Duration{time.Second, 5 * time.Second}

// Told takes up what was done to a credential, by a command of the API: its
// effect and the cursor of commands are one transaction. The test call that may
// follow is made meanwhile, and again by the next process if this one ends.
func (e *Executor) Told(ctx context.Context, cmd store.Command, told config.CredentialCommand) error {
	err := e.custody.change(ctx, told.Connection, cmd.Namespace, cmd.Seq, func(k *config.Custody) ([]store.AuditDraft, bool) {
		switch told.Act {
		case config.CredentialEntered:
			k.Entered = max(k.Entered, told.Version)
			k.Floor = max(k.Floor, told.Lowest)
			k.Proof = &config.Proof{Version: told.Version, State: config.ProofPending, At: e.now()}
			if k.Suspension != nil && k.Suspension.Version < told.Version {
				// What was suspended is not used while the new one is tested.
				k.Floor, k.Suspension = max(k.Floor, k.Suspension.Version+1), nil
				return []store.AuditDraft{e.custody.draft("connection.resumed", told.Connection, cmd.Namespace, map[string]any{"version": told.Version})}, true
			}
		case config.CredentialRevoked:
			// Invariant 1: what was revoked does not open again, should it be put back.
			k.Entered, k.Floor = max(k.Entered, told.Version), max(k.Floor, told.Version+1)
			k.Proof = nil
		case config.CredentialTest:
			k.Proof = &config.Proof{Version: told.Version, State: config.ProofPending, At: e.now()}
		}
		return nil, true
	})
	if err != nil {
		return err
	}
	if err := e.dropTokens(ctx); err != nil {
		e.cfg.Logger.WarnContext(ctx, "tokens that may not be used any more could not be removed; it is tried again", "connection", told.Connection, "error", err)
	}
	if told.Act != config.CredentialRevoked {
		e.test(ctx, told.Connection, cmd.Namespace, told.Version)
	}
	return nil
}

// ResumeTests makes the test calls that the process before did not end, and
// removes the tokens that it could not.
func (e *Executor) ResumeTests(ctx context.Context) error {
	if err := e.dropTokens(ctx); err != nil {
		return err
	}
	rows, err := e.cfg.Cell.Work().ListCustody(ctx, "")
	if err != nil {
		return err
	}
	for _, row := range rows {
		k, err := e.custody.get(ctx, row.Connection)
		if err != nil {
			return err
		}
		if k.Proof != nil && k.Proof.State == config.ProofPending {
			e.test(ctx, row.Connection, row.Namespace, k.Proof.Version)
		}
	}
	return nil
}

// test makes the test call of a version, unless it is being made.
func (e *Executor) test(ctx context.Context, connection, namespace string, version int) {
	c := e.custody
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tests[connection] == version {
		return
	}
	c.tests[connection] = version
	go func() {
		// The command's caller does not wait for it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Duration(1+len(testPauses))*testLimit)
		defer cancel()
		defer func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.tests[connection] == version {
				delete(c.tests, connection)
			}
		}()
		proof := e.tested(ctx, namespace, connection, version)
		row := store.Connection{ID: connection, Namespace: namespace}
		if err := c.conclude(ctx, row, version, proof); err != nil {
			e.cfg.Logger.WarnContext(ctx, "what a test call showed could not be recorded; it is made again", "connection", connection, "error", err)
		}
	}()
}

// tested makes the test call and says what it shows.
func (e *Executor) tested(ctx context.Context, namespace, connection string, version int) config.Proof {
	for attempt := 0; ; attempt++ {
		err := e.testOnce(ctx, namespace, connection, version)
		var known *schema.Error
		switch code := schema.CodeOf(err); {
		case err == nil:
			return config.Proof{State: config.ProofProven}
		case code == schema.CodeInvalid:
			// There is no test call: the first use shows.
			return config.Proof{State: config.ProofTrial}
		case (code == schema.CodeUnavailable || code == schema.CodeTimeout) && attempt < len(testPauses) && pause(ctx, testPauses[attempt]):
			continue
		case errors.As(err, &known):
			return config.Proof{State: config.ProofFailed, Reason: known.Message, Hint: known.Hint}
		default:
			return config.Proof{State: config.ProofFailed, Reason: "the test call could not be made"}
		}
	}
}

func (e *Executor) testOnce(ctx context.Context, namespace, connection string, version int) error {
	ctx, cancel := context.WithTimeout(ctx, testLimit)
	defer cancel()
	if err := e.readable(ctx, namespace, connection, version); err != nil {
		return err
	}
	return e.Prove(ctx, namespace, connection, version)
}

// readable tells whether a version holds what a credential may hold: clients that
// seal by themselves are not checked before. The error is CodeRefused when not.
func (e *Executor) readable(ctx context.Context, namespace, connection string, version int) error {
	row, err := e.cfg.Cell.Door().GetConnection(ctx, namespace, connection)
	if err != nil {
		return err
	}
	conn, err := e.setup(row)
	if err != nil {
		return err
	}
	credential, err := e.cfg.Cell.Door().GetCredential(ctx, connection, version)
	if err != nil {
		return err
	}
	opened, err := e.open(ctx, conn, credential)
	var known *schema.Error
	switch {
	case errors.As(err, &known) && known.Code == schema.CodeInvalid:
		return schema.Errorf(schema.CodeRefused, "%s", known.Message).Advise(known.Hint)
	case err != nil:
		return err
	}
	opened.Wipe()
	return nil
}

// pause waits and tells whether the context goes on.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
