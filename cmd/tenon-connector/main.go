// Command tenon-connector serves one of the connectors that come with Tenon. It
// is started by a cell, in a sandbox, and of no use when started by hand.
package main

import (
	"fmt"
	"os"
	"runtime"

	"github.com/tenonhq/tenon/connectors"
	"github.com/tenonhq/tenon/plugins/sdk"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: tenon-connector NAME")
		os.Exit(2)
	}
	c, ok := connectors.Find(os.Args[1])
	if !ok {
		fmt.Fprintf(os.Stderr, "tenon-connector: there is no connector %q\n", os.Args[1])
		os.Exit(2)
	}
	// A call is passed on and waited for: more processors would only hand it from
	// one to the other on its way.
	runtime.GOMAXPROCS(1)
	sdk.Serve(c)
}
