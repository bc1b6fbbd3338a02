// Package database opens SQLite and PostgreSQL, runs statements on them with
// one notation, migrates them, and gives their errors a code.
//
// Statements are written with "?" for both. Hot paths use prepared statements
// and [Bulk]; the rest goes through bun. It imports the schema root only.
package database
