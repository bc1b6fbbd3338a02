package main

import (
	"context"
	"os"
	"path/filepath"

	"github.com/tenonhq/tenon/cmd/internal/confine"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/worker/process/starter"
)

// enclose starts the starter of the cells and then confines the host, before it
// has read a key: what a cell needs to make its sandboxes must not be taken from
// it, and what the host has must not be found in a starter. The host cannot make
// another one, and ends with it; the context does then.
func (e env) enclose(ctx context.Context, binaries string) (context.Context, *starter.Client, error) {
	sockets := filepath.Join(e.run, "cells")
	for _, directory := range []string{e.cells, sockets, e.checkpoints} {
		if err := os.MkdirAll(directory, 0o700); err != nil {
			return nil, nil, schema.Errorf(schema.CodeUnavailable, "the cells' directories could not be made: %w", err)
		}
	}
	hidden := []string{e.Data}
	for _, file := range []string{e.rootKey().Path(), e.apiKey().Path(), e.TLSKey, e.EngineKey} {
		if file != "" {
			hidden = append(hidden, file)
		}
	}
	shown := append([]string{e.cells, sockets}, e.Cell.Groups...)
	if rel, err := filepath.Rel(e.Data, binaries); err == nil && filepath.IsLocal(rel) {
		shown = append(shown, binaries)
	}
	cells, err := starter.New(starter.Config{
		Binaries: binaries, Programs: []string{"tenon-cell"}, Hidden: hidden, Shown: shown, Logger: e.logger,
	})
	if err != nil {
		return nil, nil, err
	}
	// The SDK names its workers by the checksum of the program.
	self, err := os.Executable()
	if err != nil {
		return nil, nil, schema.Errorf(schema.CodeInternal, "this binary does not know where it is: %w", err)
	}
	readable := append(e.rootKey().Files(), self, e.apiPublic, e.signer, e.verifier, e.checkpointKey, e.checkpointPublic)
	if e.EngineCA != "" {
		readable = append(readable, e.EngineCA)
	}
	if err := confine.Apply(confine.Policy{
		ReadOnly:  append(readable, store.TLSFiles(e.controlURL())...),
		ReadWrite: []string{e.cellKeys, e.control, e.cells, e.run, e.checkpoints},
		Bind:      []uint16{}, Children: true,
	}, e.logger); err != nil {
		cells.Close()
		return nil, nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	go func() {
		defer stop()
		<-cells.Gone()
	}()
	return ctx, cells, nil
}

// orphaned is the error of a host whose starter has ended.
func orphaned(cells *starter.Client) error {
	select {
	case <-cells.Gone():
		return schema.Errorf(schema.CodeUnavailable, "the starter of the cells ended, and the cells with it").Advise("Start the host again; tenon up does.")
	default:
		return nil
	}
}
