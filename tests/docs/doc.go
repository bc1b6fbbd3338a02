// Package docs holds the documentation to the code: dependencies have a
// reason, examples parse and run, links and the names of tests lead somewhere.
//
// It may import anything of ours, and nothing imports it.
package docs
