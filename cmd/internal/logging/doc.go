// Package logging makes the structured log of every process, with redaction by
// construction: secret types redact themselves, an attribute whose name speaks
// of a secret is replaced whatever its type, and the ids that a context carries
// stand in each line.
//
// It may import schema.
package logging
