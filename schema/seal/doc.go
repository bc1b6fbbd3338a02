// Package seal holds the sealed formats: data-key boxes for everything that a
// cell keeps, wrapped keys, and credentials sealed with a public key. It cannot
// open credentials: only the keyring of the cell worker can (invariant 1). The
// formats are described byte by byte in docs/sealed-format.md.
//
// It may import the schema package only.
package seal
