// Package host runs connectors: strangers, each in a sandboxed process of its
// own, one of a kind per cell (Invariants 2 and 4).
//
// A [Catalog] says which program, pinned by SHA-256, serves which connector. A
// [Pool] starts it on first use through the [Launcher], shakes hands by
// go-plugin (cookie, protocol version, mutual TLS), compares the manifest, and
// runs actions, one stream each. What an action asks for goes to the caller's
// [Egress]; nothing else leaves the sandbox. The launcher starts evaluators,
// too, with a socket for standard streams.
//
// # What a connector has
//
// Its program, 256 MiB of private memory, 64 threads, 64 open files, one
// listening socket, standard output for the handshake, standard error for at
// most ten lines a second, and the handshake's environment. Package launcher
// says how the rest is taken away; hostile connectors in testdata try to get it
// back.
//
// # Execution of what was hashed
//
// The program is opened once, hashed and executed by that descriptor. The kernel
// executes no file that is open for writing and lets none be opened for writing
// that runs, so a change must fall between hash and execution; it then shows in
// the file's time of change, which is compared afterwards. A file that changed
// within the last 20 ms is not hashed, nor is one that others than its owner may
// write. Linux 6.11 and 6.12 allow writing to programs that run: there, as
// everywhere, a service must not own its programs.
//
// # Where namespaces are forbidden
//
// [Launcher.Missing] names what this machine does not give. Landlock, seccomp,
// limits and, under root, a user id per process then stand alone, and the same
// attacks fail, but these differ:
//
//   - user-namespace, mount-namespace: the host's file system is closed by
//     Landlock instead of being absent. A connector can read its own program's
//     file, and tell by name whether files exist and how large they are (stat is
//     not covered by Landlock).
//   - pid-namespace: the process id of the launcher is visible.
//   - network-namespace: sockets are refused by seccomp alone; on kernels
//     before 6.12 so are abstract Unix sockets (landlock-scope), and TCP before
//     6.7 (landlock-network).
//   - ipc-namespace, uts-namespace: System V IPC and message queues are refused by
//     seccomp alone; the host's name can be read.
//   - user-id: under root without the right to change ids, threads are bounded by
//     memory only.
//
// # What it does not stop
//
// A connector can spend processor time until its run is cancelled, and while its
// start lasts make empty files in its socket directory, which goes right after.
// Runs of one connector in one cell share its process: one that does not end
// when cancelled, or breaks the protocol, takes the others along; they are tried
// again.
//
// May import: schema (root), plugins/sdk, plugins/internal; never plugins/broker.
package host
