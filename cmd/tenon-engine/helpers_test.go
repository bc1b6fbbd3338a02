package main

import "log/slog"

// discard is for the SDK, which logs what the tests provoke.
func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
