// Command tenon-launcher starts a cell's sandboxed children. It is started by a
// cell, with a socket on descriptor 3, and of no use to anybody else.
package main

import (
	"os"

	"github.com/tenonhq/tenon/plugins/host/launcher"
)

func main() {
	os.Exit(launcher.Main(os.Args))
}
