// Package launcher is the small process that starts a cell's sandboxed
// children: connectors and evaluators.
//
// A process under Landlock rules can no longer mount, so the cell forks the
// launcher before it restricts itself. The launcher lives in an empty root but
// for the directory of its children's sockets, or, where namespaces are
// forbidden, under Landlock; it keeps no capability but, under root, those that
// give its children users of their own (self.go). It holds nothing: it takes
// orders on an inherited socket pair, starts children, tells when they end, and
// kills them all when the cell is gone. Each child starts as the launcher
// itself, re-executed inside its namespaces ([Confine]): it builds the sandbox
// around itself, in this order, and becomes the program:
//
//  1. user, mount, PID, network, IPC, UTS and cgroup namespaces;
//  2. an empty, read-only root without /proc; only the socket directory, without
//     devices, programs or set-user-id bits;
//  3. resource limits: private memory, address space, threads, open files, CPU,
//     no core, no file with content;
//  4. where the cell runs as root, a user id that nobody else has;
//  5. no capabilities, none to gain, no_new_privs, death with the launcher;
//  6. Landlock: only its own program, only sockets in the socket directory;
//  7. seccomp: a list of what is allowed (policy.go): threads but no processes,
//     stream sockets of the Unix family but no connect, no shared memory;
//  8. the program itself, executed by descriptor: what was hashed is what runs.
//
// Where the kernel or a container forbids namespaces the rest stands alone, and
// the launcher's first word says what is missing. What that leaves open is
// written in the documentation of package host.
//
// Invariant 4: a connector is a stranger.
//
// May import: the standard library except net, golang.org/x/sys, the Landlock
// and seccomp libraries, host/internal/order, host/enclosure. Never go-plugin or anything of
// schema: it stays under 6 MiB.
package launcher
