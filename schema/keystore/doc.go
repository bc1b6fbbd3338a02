// Package keystore keeps the wrapped keys of cells, apart from every database
// and its backups, and the key files of the processes. Deleting an entry makes
// noise of all that was sealed with its keys.
//
// It may import schema, schema/seal and schema/seal/keyfile.
package keystore
