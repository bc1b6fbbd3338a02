// Package confine takes from a process what it does not need: the files of
// others, programs, ports, new privileges, and being looked into. With it the
// table of who holds what stands on one machine under one user, too.
//
// It may import schema.
package confine
