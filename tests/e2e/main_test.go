package e2e

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"
)

// TestMain runs more tests at a time than there are processors, unless told how
// many: what they do most is wait, for cells that sleep, leases and retries.
func TestMain(m *testing.M) {
	flag.Parse()
	if given := flag.Lookup("test.parallel"); given.Value.String() == given.DefValue {
		if err := flag.Set("test.parallel", fmt.Sprint(2*runtime.GOMAXPROCS(0))); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
	}
	status := m.Run()
	for _, directory := range builds.directories {
		_ = os.RemoveAll(directory)
	}
	os.Exit(status)
}
