// Package sdk is all that the author of a connector imports.
//
// A connector is a program that describes itself in a [Manifest], implements
// the actions that the manifest declares, and hands both to [Serve]. It runs in
// a process of its own, in a sandbox, once per cell (Invariant 4: a connector
// is a stranger): no network, no files, no environment, no credential. The one
// way out is [Call.HTTP]: the host checks the address against what the
// connection is bound to, adds the credential itself, and takes it out of what
// comes back. A connector never sees a credential and needs none.
//
// # The protocol
//
// Host and connector speak gRPC over the Unix socket of a HashiCorp go-plugin
// handshake, with mutual TLS made for the one process. Each run of an action is
// one stream that the host opens (wire.proto): the host sends the invocation,
// the connector asks for requests and ends with an output or a [Fault]. Nothing
// is ever opened from the connector's side, so that a connector needs no
// permission to connect anywhere. The protocol's version is negotiated in the
// handshake, messages are at most [MaxMessage] bytes either way.
//
// # May import
//
// The standard library, go-plugin, gRPC and protobuf; nothing else of this
// module.
package sdk
