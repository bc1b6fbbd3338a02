// Package starter starts children on behalf of a process that has confined
// itself, and whose rules they must not inherit: a cell's launcher has to mount.
//
// The starter is a process of its own, tenon-starter, forked before its client
// reads a key. It holds nothing: the keys, control database and engine are out
// of its sight where namespaces are allowed and closed to it by Landlock where
// they are not, it has no environment, and it executes nothing but the programs
// that it was started for, from its own directory. Secrets of the children pass
// it by, in sockets that it never reads. It ends with its client, and its
// children with it.
//
// One JSON message a packet travels on a socket pair, descriptors beside it.
//
// May import: schema, plugins/host/enclosure, worker/process.
package starter
