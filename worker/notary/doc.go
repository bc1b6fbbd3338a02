// Package notary signs checkpoints over the heads of the audit chains, keeps
// them beside every database, and verifies chains against them. It runs in the
// host: what writes a chain never holds the key that vouches for it.
//
// Of ours it imports schema only.
package notary
