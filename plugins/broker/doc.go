// Package broker is the one way out of a cell. A connector, which is a
// stranger (invariant 4), hands it a request; the broker decides whether the
// request may leave, adds the credential itself, only for a host that the
// credential is bound to (invariant 1), and takes the credential out of what
// comes back.
//
// What is checked is what is dialled and what is sent: hosts and paths are
// brought into one canonical form, the request is rebuilt from that form, and
// the address that passed the check is the one that is connected to.
//
// Connections speak HTTP/1.1 and serve one request at a time. That makes two
// promises exact that multiplexing would blur: whether a byte of a request
// left this machine (see [Broker.Do]), and that nothing is ever sent a second
// time behind the caller's back (invariant 7). A connection is kept for one
// connection's one credential version only.
//
// What it does not do: it cannot undo an encoding invented for the purpose by
// a target that knows the credential anyway, nor recognise a fragment of one;
// requests for a part of a reply are therefore refused where a credential is
// added.
//
// It may import schema, schema/seal and plugins/sdk.
package broker
