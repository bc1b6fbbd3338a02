// Package store keeps everything durable: the control database, which routes
// and admits, and the two databases of each cell. The door side holds what the
// API writes (configuration, events, commands), the work side what the cell
// writes (runs, steps, effects). On SQLite they are two files, on PostgreSQL
// two schemas of one database, with one writing role each.
//
// Every method that changes something writes its audit entry in the same
// transaction (invariant 8) and returns after the commit is on disk
// (invariant 6). Concurrent writers share transactions: see internal/group.
//
// Columns named sealed hold ciphertext that the store never interprets
// (invariant 3).
//
// This is the only package that imports bun, lib/pq and modernc.org/sqlite.
// Of ours it imports the schema root only.
package store
