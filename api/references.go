package api

import (
	"context"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/flow"
)

// references refuses a document that names a connector, an action or a
// connection which is not there for its namespace: another organization's or
// namespace's connection is not there, whatever position its id stands at.
func (s *Server) references(ctx context.Context, c *caller, d *flow.Document) error {
	var failed error
	walk(d.Do, func(t *flow.Task) bool {
		if t.Call != nil {
			failed = s.reference(ctx, c, t)
		}
		return failed == nil
	})
	return failed
}

func (s *Server) reference(ctx context.Context, c *caller, t *flow.Task) error {
	call := t.Call
	if err := s.catalog.action(call.Connector, call.Action, call.Version); err != nil {
		return within(t.Pointer+"/call", err)
	}
	if call.Connection == "" {
		return nil
	}
	missing := schema.Errorf(schema.CodeInvalid, "there is no such connection in the namespace").At(t.Pointer).
		Advise("Create the connection first; a flow names it by name or id.")
	row, err := c.connection(ctx, call.Connection)
	if schema.CodeOf(err) == schema.CodeNotFound {
		return unknown(missing)
	}
	if err != nil {
		return err
	}
	if row.Connector != call.Connector {
		return schema.Errorf(schema.CodeInvalid, "the connection is of another connector").At(t.Pointer)
	}
	return nil
}

// walk visits every task in document order, while each returns true.
func walk(tasks []flow.Task, each func(*flow.Task) bool) bool {
	for i := range tasks {
		t := &tasks[i]
		if !each(t) || !walk(t.Do, each) {
			return false
		}
		if t.Try != nil && (!walk(t.Try.Do, each) || (t.Try.Catch != nil && !walk(t.Try.Catch.Do, each))) {
			return false
		}
		if t.For != nil && !walk(t.For.Do, each) {
			return false
		}
	}
	return true
}
