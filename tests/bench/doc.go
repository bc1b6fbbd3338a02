// Package bench measures the running platform: the real binaries as the real
// processes, signed webhooks over HTTP, a bookkeeping service that counts what
// really arrived. A figure whose count is not exactly right is not reported.
//
// It is a benchmark of one iteration, run by "make bench"; docs/performance.md
// says what each figure means.
package bench
