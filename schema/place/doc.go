// Package place names where every sealed value of a cell belongs.
//
// A sealed value opens only in the place it was sealed for (invariant 3). The
// API writes and the cell reads, or the other way round; both take the place
// from here, so that neither can come to a different one.
//
// It imports schema/seal only.
package place
