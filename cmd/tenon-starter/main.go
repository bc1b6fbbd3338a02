// Command tenon-starter starts the cells for a host that has confined itself. It
// is started by the host, with a socket on descriptor 3, and of no use to
// anybody else.
package main

import (
	"os"

	"github.com/tenonhq/tenon/plugins/host/probe"
	"github.com/tenonhq/tenon/worker/process/starter"
)

func main() {
	probe.Arm()
	os.Exit(starter.Main(os.Args[1:]))
}
