// Package enclosure is what the processes have in common that cannot be under
// Landlock's rules for files: a starter forks cells, a launcher forks
// connectors, and what they fork must still mount. Instead they live in a user
// and mount namespace of their own ([Attributes]), in which the files of the
// other processes are not there: a launcher's root is empty but for what it
// hands on ([EmptyRoot]), a starter's lacks the keys ([Hide]). They give up their
// capabilities ([Drop]) and enter a Landlock domain without rules for files
// ([Scope]), out of which nobody is traced.
//
// Everything here is for good, and holds for every thread of the process.
//
// May import: the standard library except net, golang.org/x/sys, psx and the
// system calls of Landlock: the launcher links it, and the launcher is small.
package enclosure
