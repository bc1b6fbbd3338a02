package api

import (
	"context"
	"errors"
	"time"
)

// SweepDue is one look of the sweeper, to its end.
func (s *Server) SweepDue(ctx context.Context) error { return s.sweepDue(ctx) }

// FireOnce looks once for schedules that are due, and waits for those looks.
func (s *Server) FireOnce(ctx context.Context) error {
	_, err := s.fireOnce(ctx)
	return err
}

// FireDue fires the schedules that are due, and waits until no more are.
func (s *Server) FireDue(ctx context.Context) error {
	for {
		at, err := s.fireOnce(ctx)
		if err != nil || at.IsZero() || at.After(s.now()) {
			return err
		}
	}
}

// fireOnce tells when the next look is due, at a moment when none is under way: the
// timer of a schedule that the server's own clock looks at seems to be due later.
func (s *Server) fireOnce(ctx context.Context) (time.Time, error) {
	if _, err := s.clock.due(ctx); err != nil {
		return time.Time{}, err
	}
	for range timersAtOnce {
		s.clock.places <- struct{}{}
	}
	defer func() {
		for range timersAtOnce {
			<-s.clock.places
		}
	}()
	return s.config.Control.NextTimer(ctx)
}

// Round is how far a sweep of several turns has come.
type Round = round

// NewRound begins a sweep.
func (s *Server) NewRound(org string) *Round { return s.rounds.of(org, s.now()) }

// SweepTurn is the shortest turn of a sweep; it tells whether there is more. decided
// is called between each decision and its removal.
func (s *Server) SweepTurn(ctx context.Context, org string, round *Round, decided func()) (more bool, err error) {
	w := &sweep{s: s, org: org, begun: time.Now(), turn: -1, round: round, decided: decided}
	err = w.run(ctx)
	if errors.Is(err, errTurn) {
		return true, nil
	}
	return false, err
}
