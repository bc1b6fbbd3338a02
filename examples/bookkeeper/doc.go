// Command bookkeeper is the other system of the examples and of the
// end-to-end tests: a small bookkeeping service with its own certificate
// authority, a Bearer token, idempotency keys, and the bad manners of real
// services on demand (failing, stalling, dropping a connection after the bill
// is written). What it recorded is the ground truth that runs are judged by.
//
// It is a program of its own, outside the platform: it imports only the
// standard library and its own ledger package.
package main
