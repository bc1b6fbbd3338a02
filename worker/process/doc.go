// Package process starts child processes that never outlive their parent,
// restarts them with back-off, and drains them.
//
// It may import schema and plugins/host/enclosure only.
package process
