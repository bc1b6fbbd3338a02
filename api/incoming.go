package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/tenonhq/tenon/api/internal/verify"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/store"
)

// receive verifies before it writes anything (invariant 5).
func (s *Server) receive(ctx context.Context, c *caller, id string, r verify.Request) (*received, error) {
	r.At = s.now()
	org, err := s.routes.find(ctx, id)
	if schema.CodeOf(err) == schema.CodeNotFound {
		return nil, s.nobody("", r)
	}
	if err != nil {
		return nil, err
	}
	leave, err := s.admission.enter(org, 0)
	if err != nil {
		return nil, err
	}
	defer leave()
	opened, release, err := s.cells.acquire(ctx, org)
	if err != nil {
		return nil, s.concealed(org, err, r)
	}
	defer release()
	nobody, m := *c, &incoming{request: r, org: org, cell: opened, source: id}
	out, err := s.receiveKnown(ctx, c, m)
	for n := 0; n < mostChanges && errors.Is(err, store.ErrChanged); n++ {
		*c = nobody
		out, err = s.receiveRead(ctx, c, m)
	}
	return out, err
}

// mostChanges is how often a message is judged anew because a source, a flow's state or
// its newest version changed in its cell before it was written. Hundreds of such changes
// asked for at once share fewer transactions than that. Whoever meets more sends again.
const mostChanges = 16

// incoming is a message while it is judged.
type incoming struct {
	request verify.Request
	source  string
	org     string
	cell    *cell

	// by is what it was verified with, as it came out; zero before.
	by      store.Intake
	message verify.Message
	err     error

	inbound inbound
}

// judge verifies the message, unless it was with the same.
func (m *incoming) judge(by store.Intake) {
	if !m.by.Same(by) {
		m.message, m.err = verify.Verify(by.Config, m.request)
	}
	m.by = by
}

// receiveKnown keeps a message that verifies with what was read for another one a moment
// ago, if that still holds when it is written. Whatever else there is to answer is answered
// by who reads it first: the error is store.ErrChanged then, and nothing has happened.
func (s *Server) receiveKnown(ctx context.Context, c *caller, m *incoming) (*received, error) {
	known, ok := m.cell.Door().Remembered(m.source)
	if !ok {
		return nil, store.ErrChanged
	}
	m.judge(known)
	if m.err != nil || m.message.Answer != nil || known.Source.State != rowActive || paused(known.Flow) != nil {
		return nil, store.ErrChanged
	}
	c.become(known.Source, m.org, m.cell)
	return s.keep(ctx, c, m, true)
}

// receiveRead reads what the message is judged by.
func (s *Server) receiveRead(ctx context.Context, c *caller, m *incoming) (*received, error) {
	intake, err := m.cell.Door().Intake(ctx, m.source, func(source store.Source) (how config.Source, err error) {
		if source.State == rowDeleted {
			return how, schema.Errorf(schema.CodeNotFound, "there is no such source")
		}
		err = m.cell.openJSON(place.Source(m.org, source.ID), source.ConfigSealed, &how)
		return how, err
	})
	if err != nil {
		return nil, s.concealed(m.org, err, m.request)
	}
	source := intake.Source
	if m.judge(intake); m.err != nil {
		s.refusals.count(refusal{
			organization: m.org, actor: actorUnknown, action: actionRefusedEvent, target: source.ID, namespace: source.Namespace,
		}, m.request.At)
		return nil, m.err
	}
	// From here on the caller is known: the log may say whose request it was.
	c.become(source, m.org, m.cell)
	if source.State != rowActive {
		return nil, schema.Errorf(schema.CodeUnavailable, "the source is suspended; nothing was kept").
			Advise("Send the message again when the source is active.")
	}
	if a := m.message.Answer; a != nil {
		return &received{Status: http.StatusOK, ContentType: a.ContentType, Body: a.Body}, nil
	}
	out, err := s.keep(ctx, c, m, false)
	if err == nil {
		m.cell.Door().Remember(intake)
	}
	return out, err
}

// become makes the caller the source that a message was verified to come from.
func (c *caller) become(source store.Source, org string, opened *cell) {
	c.actor, c.org, c.cell, c.namespace.ID = source.ID, org, opened, source.Namespace
}

// concealed answers that the source is not there as if nothing had verified:
// who holds no secret learns nothing of which sources exist.
func (s *Server) concealed(org string, err error, r verify.Request) error {
	switch schema.CodeOf(err) {
	case schema.CodeNotFound, schema.CodeForbidden:
		return s.nobody(org, r)
	default:
		return err
	}
}

// nobody refuses a message to no source. It is counted, but not under what the
// sender called the source.
func (s *Server) nobody(org string, r verify.Request) error {
	s.refusals.count(refusal{organization: org, actor: actorUnknown, action: actionRefusedEvent}, r.At)
	return verify.Nobody(r)
}

// keep writes the event to the inbox, once for every message, if what it was judged by
// still holds then; store.ErrChanged says that it does not.
func (s *Server) keep(ctx context.Context, c *caller, m *incoming, remembered bool) (*received, error) {
	in := &m.inbound
	if in.kind == "" {
		in.kind, in.source, in.with = config.KindWebhook, m.source, &m.by
		in.payload = config.Event{Headers: kept(m.request.Header), ContentType: m.request.Header.Get("Content-Type"), Source: m.source}
		in.payload.Body, in.payload.Encoding = asJSON(m.request.Body)
	}
	in.dedupe, in.order, in.flow, in.digest, in.remembered = m.message.ID, m.message.Order, m.by.Flow, m.by.Digest, remembered
	id, _, err := s.accept(ctx, c, in)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(Accepted{Event: id})
	return &received{Status: http.StatusAccepted, ContentType: "application/json", Body: body}, err
}
