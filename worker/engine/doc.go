// Package engine embeds the Temporal server: frontend, history, matching and
// worker services and the web UI in one process, over SQLite or PostgreSQL.
//
// Nothing that it listens on answers a stranger. The frontend takes Ed25519
// tokens of schema/token and denies by default; the services talk to each
// other over mutual TLS whose certificates live in memory only; the web UI
// stands behind a login and has no listener of its own.
//
// What the engine keeps is ciphertext under keys that it never sees
// (invariant 3), and it is not the truth: the cells' databases are. So an
// engine file of another server version is set aside, and what ran in it is
// started again by the cells.
//
// It imports schema, schema/task and schema/token only, and it and its binary
// cmd/tenon-engine are alone in linking the Temporal server.
package engine
