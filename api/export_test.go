package api

import "context"

// SweepDue is one look of the sweeper, to its end.
func (s *Server) SweepDue(ctx context.Context) error { return s.sweepDue(ctx) }
