// Package probe lets a test attack from inside a real process: built with the
// tag "probe" each command answers on an abstract socket named after its
// process id, opened before the process confines itself, and tries what it is
// told from there, under whatever rules then hold. Without the tag, as in
// every binary that is shipped, there is nothing.
//
// It may import the standard library and golang.org/x/sys; without the tag
// nothing of weight: the launcher links it.
package probe
