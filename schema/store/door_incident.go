package store

import (
	"context"

	"github.com/uptrace/bun"
)

// Stopped is what StopEverything stopped: ids.
type Stopped struct {
	Flows, Sources, Schedules []string
	// Credentials are the connections whose credentials were ended.
	Credentials []string
}

// Empty tells whether there was nothing left to stop.
func (s Stopped) Empty() bool {
	return len(s.Flows)+len(s.Sources)+len(s.Schedules)+len(s.Credentials) == 0
}

// StopEverything pauses every flow, suspends every source and ends every
// credential of the cell, in one transaction: the first effect that is not
// under way by its commit does not happen. revocation makes what is recorded of
// a connection's. Asked again it stops what was begun since.
func (d *Door) StopEverything(ctx context.Context, a AuditDraft, revocation func(Connection) (Revocation, error)) (stopped Stopped, err error) {
	err = d.s.w.do(ctx, "stop everything", func(t *txn) error {
		stopped = Stopped{}
		db, tctx := t.Read()
		flows, err := many[Flow](tctx, db, "flows", func(q *bun.SelectQuery) *bun.SelectQuery {
			return q.Where("state = ?", FlowActive).Order("id")
		})
		if err != nil {
			return err
		}
		sources, err := many[Source](tctx, db, "sources", func(q *bun.SelectQuery) *bun.SelectQuery {
			return q.Where("state = ?", SourceActive).Order("id")
		})
		if err != nil {
			return err
		}
		connections, err := many[Connection](tctx, db, "connections", func(q *bun.SelectQuery) *bun.SelectQuery {
			return q.Where("id IN (SELECT connection FROM credentials WHERE state IN (?, ?))", CredentialCurrent, CredentialPrevious).Order("id")
		})
		if err != nil {
			return err
		}
		for _, f := range flows {
			stopped.Flows = append(stopped.Flows, f.ID)
			t.audit(AuditDraft{Actor: a.Actor, Action: "flow.pause", Target: f.ID, Namespace: f.Namespace})
		}
		for _, s := range sources {
			list, action := &stopped.Sources, "source.suspend"
			if s.Verifier == VerifierClock {
				list, action = &stopped.Schedules, "schedule.update"
			}
			*list = append(*list, s.ID)
			t.audit(AuditDraft{Actor: a.Actor, Action: action, Target: s.ID, Namespace: s.Namespace})
		}
		if err := t.stop((*Flow)(nil), FlowActive, FlowPaused, len(flows)); err != nil {
			return err
		}
		if err := t.stop((*Source)(nil), SourceActive, SourceSuspended, len(sources)); err != nil {
			return err
		}
		for _, c := range connections {
			r, err := revocation(c)
			if err != nil {
				return err
			}
			if _, err := t.end(c.ID, CredentialRevoked, "version > ?", 0); err != nil {
				return err
			}
			if err := t.command(r.Told); err != nil {
				return err
			}
			t.audit(r.Audit)
			stopped.Credentials = append(stopped.Credentials, c.ID)
		}
		t.audit(a)
		return nil
	})
	return stopped, err
}

// stop moves all rows of one state to another.
func (t *txn) stop(model any, from, to string, some int) error {
	if some == 0 {
		return nil
	}
	return t.change(func(db bun.IDB) query {
		return db.NewUpdate().Model(model).Set("state = ?", to).Set("updated_at = ?", now()).Where("state = ?", from)
	})
}

// ChangeFlow changes a flow's state or limit, with an entry for each.
func (d *Door) ChangeFlow(ctx context.Context, namespace, id string, c FlowChange, audit ...AuditDraft) error {
	return d.s.w.do(ctx, "change the flow", func(t *txn) error {
		err := t.change(func(db bun.IDB) query {
			q := db.NewUpdate().Model((*Flow)(nil)).Set("updated_at = ?", now()).Where("id = ? AND namespace = ?", id, namespace)
			if c.State != "" {
				q = q.Set("state = ?", c.State)
			}
			if c.MaxRuns != nil {
				q = q.Set("max_runs = ?", *c.MaxRuns)
			}
			return q
		})
		if err != nil {
			return err
		}
		t.audit(audit...)
		return nil
	})
}

// FlowLimit is how many runs of the flow, of any namespace, are worked on at a
// time; 0 for no limit of its own.
func (d *Door) FlowLimit(ctx context.Context, id string) (int, error) {
	rows, err := d.s.Query(ctx, "SELECT max_runs FROM flows WHERE id = ?", id)
	return single("find the flow", rows, err, func(row scanner) (int, error) {
		var most int
		return most, row.Scan(&most)
	})
}

// FlowState is the state of a flow of any namespace: of its runs, nothing is
// begun while it is paused.
func (d *Door) FlowState(ctx context.Context, id string) (string, error) {
	rows, err := d.s.Query(ctx, "SELECT state FROM flows WHERE id = ?", id)
	return single("find the flow", rows, err, func(row scanner) (string, error) {
		var state string
		return state, row.Scan(&state)
	})
}
