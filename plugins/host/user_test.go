package host

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// nobody is a user id without any right, on every system.
const nobody = 65534

// TestAsAnotherUser attacks once more as the other kind of user: as one without
// rights where the tests run under root. Where they run as such a user already,
// they are that.
func TestAsAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		require.Empty(t, launch(t, true).Missing(), "this user gets the whole sandbox")
		return
	}
	// A copy of this program, where that user can execute it.
	self, err := os.ReadFile("/proc/self/exe")
	require.NoError(t, err)
	program := filepath.Join(bin, "attack.test")
	require.NoError(t, os.WriteFile(program, self, 0o755)) // For another user to execute.
	temporary := filepath.Join(bin, "tmp")
	require.NoError(t, os.Mkdir(temporary, 0o700))
	require.NoError(t, os.Chown(temporary, nobody, nobody))
	cmd := exec.CommandContext(t.Context(), program, "-test.run=^(TestAsAnotherUser|TestStranger|TestBombs|TestEnds|TestTwoCells|TestMissing)$")
	cmd.Env = []string{"TMPDIR=" + temporary, "PATH=" + os.Getenv("PATH"), built + "=" + bin}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, Pdeathsig: syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "PASS")
}
