// Package tokens fetches OAuth2 access tokens for the cell's own calls and keeps
// them. No connector sees a token, a refresh token or a client secret
// (invariant 4); requests to token endpoints go through the broker, to the one
// host that the sealed use names.
//
// # One refresher
//
// A token that is about to end is refreshed by one caller; the others use it
// while it lasts, or wait for the answer. Before the request the cell's database
// says who asks and since when, and after the answer it has the new tokens
// before anybody uses one. A provider that replaces the refresh token with each
// use then loses the cell its access in one case only: the process, or the
// network, ends between the provider's answer and the commit. The next attempt
// sends the token that it has, as RFC 9700 expects of clients; a provider that
// takes this for theft answers invalid_grant, and the error says what happened.
//
// A second process, after a crash or a hand-over, waits until the request of the
// first has certainly ended.
//
// It may import schema, plugins/broker, plugins/sdk and the keyring.
package tokens
