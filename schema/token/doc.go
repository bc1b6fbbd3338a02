// Package token makes and verifies the tokens that open the engine and the
// codec endpoint: short-lived JWTs (RFC 7519) signed with Ed25519 (RFC 8037).
// Only the host and the operator's command hold the signing key.
//
// It may import schema and schema/seal/keyfile.
package token
