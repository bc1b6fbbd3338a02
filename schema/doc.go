// Package schema is the ground floor: what crosses a boundary. This package
// itself holds identifiers, the keys of effects, the one error type with its codes,
// and the secret type that redacts itself.
//
// It imports nothing of ours.
package schema
