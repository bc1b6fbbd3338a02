// Package keyfile reads and writes the files that hold keys: owned by this
// user, readable by nobody else, replaced whole or not at all.
//
// It may import the schema package only.
package keyfile
