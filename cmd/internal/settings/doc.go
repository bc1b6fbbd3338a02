// Package settings reads the configuration of every command: flags, then
// environment, then a file, then defaults. A bad value is refused at the start
// with its name and what it must be; a secret one is never quoted.
//
// It may import schema and schema/seal/keyfile.
package settings
