// Command tenon-launcher starts a cell's sandboxed children. It is started by a
// cell, with a socket on descriptor 3, and of no use to anybody else.
package main

import (
	"os"

	"github.com/tenonhq/tenon/plugins/host/launcher"
	"github.com/tenonhq/tenon/plugins/host/probe"
)

func main() {
	if len(os.Args) > 2 { // Not what it starts again as, to become another program.
		probe.Arm()
	}
	os.Exit(launcher.Main(os.Args))
}
