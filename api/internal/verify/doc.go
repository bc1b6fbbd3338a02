// Package verify decides whether a webhook comes from whom it says (invariant 5).
//
// It imports schema and schema/config only, and knows nothing of HTTP routes
// or stores.
package verify
