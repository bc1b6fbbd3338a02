package worker

import (
	"bytes"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestReadOnlyMappingsOfTheProgram takes no mapping that may hold what is in no
// file: its pages would be lost.
func TestReadOnlyMappingsOfTheProgram(t *testing.T) {
	const program = "/opt/tenon/tenon-cell"
	for line, want := range map[string]bool{
		"00400000-01402000 r-xp 00000000 fd:01 1234                       /opt/tenon/tenon-cell":           true,
		"01402000-02211000 r--p 01002000 fd:01 1234                       /opt/tenon/tenon-cell":           true,
		"02211000-02311000 rw-p 01e11000 fd:01 1234                       /opt/tenon/tenon-cell":           false,
		"02211000-02311000 rwxp 01e11000 fd:01 1234                       /opt/tenon/tenon-cell":           false,
		"7f0000000000-7f0000001000 r--p 00000000 fd:01 99                 /opt/tenon/other":                false,
		"c000000000-c000400000 rw-p 00000000 00:00 0":                                                      false,
		"01402000-00400000 r-xp 00000000 fd:01 1234                       /opt/tenon/tenon-cell":           false,
		"zz-01402000 r-xp 00000000 fd:01 1234                             /opt/tenon/tenon-cell":           false,
		"00400000-01402000 r-xp 00000000 fd:01 1234                       /opt/tenon/tenon-cell (deleted)": false,
	} {
		_, _, ok := readOnly(line, program)
		require.Equal(t, want, ok, line)
	}
}

// TestAReleasedProgramGoesOn gives the pages of this very process back, which
// become fewer, and goes on.
func TestAReleasedProgramGoesOn(t *testing.T) {
	mapped := ownText()
	require.NotEmpty(t, mapped)
	before := fileBacked(t)
	mapped.release()
	require.Less(t, fileBacked(t), before)
}

// fileBacked is the resident memory of this process that is backed by files, in KiB.
func fileBacked(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte("RssFile:")); ok {
			n, err := strconv.Atoi(string(bytes.Fields(rest)[0]))
			require.NoError(t, err)
			return n
		}
	}
	t.Fatal("the kernel does not tell")
	return 0
}
