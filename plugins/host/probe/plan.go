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
	// Sockets are paths to connect to.
	Sockets []string
}

// Answer is what worked, each as "verb:object".
type Answer struct {
	Worked []string
	// Capabilities are the five sets and no_new_privs as the kernel shows them
	// for the thread that tried.
	Capabilities map[string]string
}

// Address is the abstract socket of a process that was built to be probed.
func Address(pid int) string { return "@tenon-probe-" + strconv.Itoa(pid) }
