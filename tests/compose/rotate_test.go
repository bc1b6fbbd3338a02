package compose

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tool is a service of the file that "docker compose run" starts.
func (s *stage) tool(t *testing.T, name string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), s.bin, s.project.Services[name].Command...)
	cmd.Env = s.env[name]
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s: %s", name, out)
}

// replaced: both pairs are replaced as docs/operations.md says while everything runs,
// which goes on and makes cells; so does what starts from the files afterwards.
func (s *stage) replaced(t *testing.T, joinery string, stop map[string]func()) {
	t.Helper()
	private := map[string]string{"host": "root.key", "api": "api.key"}
	read := func(service, name string) string {
		text, err := os.ReadFile(filepath.Join(s.dir, "out", service, name))
		require.NoError(t, err)
		return string(text)
	}
	before := map[string]string{"host": read("host", private["host"]), "api": read("api", private["api"])}

	s.tool(t, "rotate-root")
	s.tool(t, "rotate-api")
	s.keys(t)
	s.order(t, joinery)
	smithy := s.organization(t, "Smithy")
	s.order(t, smithy)
	stop["host"]()
	stop["api"]()
	s.keys(t)
	s.start(t, "api")
	s.start(t, "host")
	for _, own := range []string{joinery, smithy, s.organization(t, "Tannery")} {
		s.order(t, own)
	}
	for service, name := range private {
		assert.NotEqual(t, before[service], read(service, name), "the former %s came back", name)
	}
	require.NoError(t, filepath.Walk(s.dir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() && info.Size() == int64(len(before["host"])) {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			assert.NotContains(t, []string{before["host"], before["api"]}, string(text), "%s has a former private half", path)
		}
		return err
	}))
}
