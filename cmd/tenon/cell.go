package main

import (
	"context"
	"os"
	"syscall"

	"github.com/tenonhq/tenon/schema"
)

// execCell becomes the cell worker, which is its own binary so that a cell does
// not carry the weight of the API.
func execCell(_ context.Context, _ env) error {
	path, err := sibling("tenon-cell")
	if err != nil {
		return err
	}
	if err := syscall.Exec(path, []string{"tenon-cell"}, os.Environ()); err != nil {
		return schema.Errorf(schema.CodeUnavailable, "tenon-cell could not be started: %w", err)
	}
	return nil
}
