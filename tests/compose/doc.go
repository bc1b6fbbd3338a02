// Package compose checks docker-compose.yml against the schema of the Compose
// Specification and against what this project says of it, and runs the same
// processes with the same settings on this machine, over TLS. It needs no
// container engine: what only that can show is `make compose-smoke`.
//
// It may import anything of ours, and nothing imports it.
package compose
