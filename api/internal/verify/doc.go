// Package verify decides whether a webhook comes from whom it says (invariant
// 5), and what makes two messages the same one.
//
// A sender proves itself in one of three ways: a signature over the raw body
// (signed.go, standard.go, twilio.go), a secret that it sends along
// (shared.go), or a client certificate (mtls.go). check.go says what a source
// must have; identity.go names a message; handshake.go answers what vendors ask
// before they send anything.
//
// It imports schema and schema/config only, and knows nothing of HTTP routes
// or stores.
package verify
