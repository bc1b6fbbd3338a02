// Command tenon-engine is the Temporal server of Tenon, in a process of its
// own: it holds ciphertext and no key but the one that verifies tokens.
//
// It reads its configuration as JSON from an inherited descriptor
// (--config-fd) or from a file (--config), prints one line of JSON with its
// addresses on standard output once it answers, logs to standard error, and
// drains within ten seconds of SIGTERM or SIGINT.
//
// It imports worker/engine, schema and schema/token.
package main
