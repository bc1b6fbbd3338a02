// Package e2e tests the platform as its users meet it: the real binaries, as
// the real processes, over real sockets, on SQLite and on PostgreSQL.
package e2e
