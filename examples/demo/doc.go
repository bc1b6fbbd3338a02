// Command demo does the platform's main job beside a running "make up", on real
// input, and prints each step: a signed webhook becomes a durable flow that
// creates a bill in another system, once, whatever is killed meanwhile. It ends
// with a status other than zero when a step is not as promised.
//
// It is a client: it uses the HTTP API, the sealing package that clients use,
// and the published Standard Webhooks library.
package main
