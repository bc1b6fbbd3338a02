// Package ledger is the bookkeeping service itself: bills kept in a file that
// is synced before a creation is answered, the HTTP interface over it, and the
// faults it can be told to show. Tests start it in their own process; the
// bookkeeper command wraps it into one of its own.
//
// It imports only the standard library.
package ledger
