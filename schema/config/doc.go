// Package config holds the plaintext of what the API seals and the cell opens
// again: connections, sources, events, commands, and the results that go the
// other way. schema/place says where each one belongs.
//
// It imports schema and schema/seal only.
package config
