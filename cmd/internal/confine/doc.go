// Package confine takes from a process what it does not need: the files of
// others, programs, ports, capabilities, new privileges, and being looked into.
// With it the table of who holds what stands on one machine under one user, too.
//
// It may import schema and plugins/host/enclosure.
package confine
