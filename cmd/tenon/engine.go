package main

import (
	"context"
	"os"

	"github.com/tenonhq/tenon/schema"
)

// runEngine runs the engine by itself: its own binary, so that no other
// process links the server.
func runEngine(ctx context.Context, e env) error {
	bin, err := sibling("tenon-engine")
	if err != nil {
		return err
	}
	p := parent{env: e, engineBin: bin, log: os.Stderr}
	child, err := p.startEngine(ctx)
	if err != nil {
		return err
	}
	e.logger.InfoContext(ctx, "the engine answers", "address", e.Engine)
	select {
	case <-child.Done():
		return schema.Errorf(schema.CodeUnavailable, "the engine ended: %w", child.Err())
	case <-ctx.Done():
		child.Stop(childPatience)
		return nil
	}
}
