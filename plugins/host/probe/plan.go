package probe

import "strconv"

// Plan is what is to be tried.
type Plan struct {
	// Read are files to read and directories to list, Write files to open for
	// writing, Execute programs.
	Read, Write, Execute []string
	// PIDs are processes to look into, to trace and to take descriptors from.
	// Through each the files to read are tried, too, by its root.
	PIDs []int
	// Sockets are paths of sockets, or abstract names that begin with "@". Each is
	// tried as every type, since connecting as another than its own always fails,
	// and paths also through the root of each process.
	Sockets []string
	// Connect are TCP addresses to connect to, Listen such to listen on.
	Connect, Listen []string
}

// Answer is what came of it.
type Answer struct {
	// Worked is each as "verb:object"; the verb of a connection is its network, as
	// package net names it.
	Worked []string
	// Capabilities are the five sets and no_new_privs as the kernel shows them
	// for the thread that tried.
	Capabilities map[string]string
}

// Address is the abstract socket of a process that was built to be probed.
func Address(pid int) string { return "@tenon-probe-" + strconv.Itoa(pid) }
