// Package audit is the form of the audit log: its entries and how they are
// chained, the signed checkpoints that tie the heads of chains, the lines of an
// export, and how all of that is verified, with nothing but an export and a
// public key. docs/audit-format.md says the same byte by byte.
//
// Of ours it imports the schema root and schema/seal/keyfile only.
package audit
