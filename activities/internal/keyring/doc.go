// Package keyring opens credentials: the only package that can, in the only
// kind of process that holds the keys for it, the cell worker (invariant 1). It
// also seals and opens the OAuth2 tokens that the cell fetches with them.
//
// It may import schema, schema/seal and schema/place.
package keyring
