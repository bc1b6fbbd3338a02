// Package crash has a process end itself with -9 at a named place, so that a
// test can show what survives of each: between a commit and what follows from
// it. Built with the tag "crash", a process watches the orders in the file
// beside its program that [File] names, opened before the process confines
// itself. Without the tag, as in every binary that is shipped, there is nothing.
//
// It may import the standard library and golang.org/x/sys, and nothing of ours.
package crash
