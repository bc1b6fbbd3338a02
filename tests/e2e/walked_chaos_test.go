//go:build chaos

package e2e

// walked are all crash points.
var walked = dooms
