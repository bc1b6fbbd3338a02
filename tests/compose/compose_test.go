package compose

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// root is the repository.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	require.NoError(t, err)
	return dir
}

// project loads the file as the Compose Specification's reference does: against
// its schema, with nothing from the environment, and with the tools.
func project(t *testing.T) *types.Project {
	t.Helper()
	p, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  root(t),
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(root(t), "docker-compose.yml")}},
		Environment: types.Mapping{},
	}, loader.WithProfiles([]string{"*"}))
	require.NoError(t, err)
	require.Subset(t, slices.Collect(maps.Keys(p.Services)), []string{"postgres", "redis", "engine", "api", "host"})
	return p
}

// once tells a service that ends when its work is done.
func once(s types.ServiceConfig) bool { return s.Restart == "no" }

func TestOnlyTheAPIIsPublished(t *testing.T) {
	for name, s := range project(t).Services {
		assert.NotEqual(t, "host", s.NetworkMode, name)
		if name != "api" {
			assert.Empty(t, s.Ports, name)
			continue
		}
		require.Len(t, s.Ports, 1)
		assert.Equal(t, "127.0.0.1", s.Ports[0].HostIP, "on loopback, unless the operator says otherwise")
	}
}

func TestEveryServiceHasAHealthCheckOrIsOneShot(t *testing.T) {
	p := project(t)
	for name, s := range p.Services {
		if once(s) {
			continue
		}
		require.NotNil(t, s.HealthCheck, name)
		assert.False(t, s.HealthCheck.Disable, name)
		assert.NotEmpty(t, s.HealthCheck.Test, name)
	}
	for name, s := range p.Services {
		for on, how := range s.DependsOn {
			want := types.ServiceConditionHealthy
			if once(p.Services[on]) {
				want = types.ServiceConditionCompletedSuccessfully
			}
			assert.Equal(t, want, how.Condition, "%s waits for %s", name, on)
		}
	}
}

// secretive are names of variables that may hold a secret, unless they name a file.
var secretive = regexp.MustCompile(`(?i)(pass|secret|token|key|url|credential)`)

func TestNoSecretStandsInTheFile(t *testing.T) {
	for name, s := range project(t).Services {
		assert.Empty(t, s.EnvFiles, name)
		for variable, value := range s.Environment {
			require.NotNil(t, value, "%s takes %s from the caller's environment", name, variable)
			assert.NotContains(t, *value, "@", "%s in %s", variable, name)
			if secretive.MatchString(variable) && !strings.HasPrefix(*value, "https://") {
				assert.True(t, filepath.IsAbs(*value), "%s in %s must name a file", variable, name)
			}
		}
		for _, arg := range append(slices.Clone(s.Command), s.Entrypoint...) {
			assert.NotRegexp(t, `(?i)(password|secret|token)=`, arg, name)
			assert.NotContains(t, arg, "postgres://", name)
		}
	}
}

// A service's private volume is mounted by it, and by what fills it, alone.
func TestPrivateVolumesAreNotShared(t *testing.T) {
	for name, s := range project(t).Services {
		for _, v := range s.Volumes {
			owner, private := strings.CutSuffix(v.Source, "-private")
			if private && owner != name {
				assert.True(t, once(s), "%s mounts %s", name, v.Source)
			}
			if private && owner == name && !once(s) {
				assert.True(t, v.ReadOnly, "%s writes %s", name, v.Source)
			}
			if v.Source == "authority" {
				assert.Equal(t, "certificates", name, "the authority's key")
			}
			if v.Source == "keystore" && name == "api" {
				assert.True(t, v.ReadOnly, "the API writes the key store")
			}
			assert.NotContains(t, v.Source, "docker.sock")
		}
	}
}

// Who replaces a pair has that pair's directory and the key store to write, and
// nobody runs with that but for a while.
func TestPairsAreReplacedByToolsOfTheirOwn(t *testing.T) {
	p := project(t)
	for name, private := range map[string]string{"rotate-root": "host-private", "rotate-api": "api-private"} {
		s := p.Services[name]
		assert.Equal(t, []string{"tools"}, s.Profiles, name)
		assert.True(t, once(s), name)
		var written []string
		for _, v := range s.Volumes {
			if !v.ReadOnly {
				written = append(written, v.Source)
			}
		}
		assert.ElementsMatch(t, []string{private, "keystore"}, written, name)
	}
}

func TestServicesAreConfined(t *testing.T) {
	p := project(t)
	for name, s := range p.Services {
		assert.False(t, s.Privileged, name)
		assert.Equal(t, []string{"ALL"}, s.CapDrop, name)
		assert.Contains(t, s.SecurityOpt, "no-new-privileges:true", name)
		if name == "certificates" { // It gives files to others, and has no network.
			assert.Equal(t, "none", s.NetworkMode)
			continue
		}
		assert.Empty(t, s.CapAdd, name)
		assert.NotEqual(t, "0:0", s.User, name)
		if name != "postgres" {
			assert.True(t, s.ReadOnly, name)
		}
	}
	for _, name := range []string{"database", "engine", "bell"} {
		assert.True(t, p.Networks[name].Internal, "network %s leads outside", name)
	}
	for _, name := range []string{"postgres", "redis", "engine"} {
		for n := range p.Services[name].Networks {
			assert.True(t, p.Networks[n].Internal, "%s reaches outside", name)
		}
	}
}

// Each setting is one that there is, by the table of docs/configuration.md.
func TestSettingsExist(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root(t), "docs", "configuration.md"))
	require.NoError(t, err)
	for name, s := range project(t).Services {
		for variable := range s.Environment {
			if setting, ours := strings.CutPrefix(variable, "TENON_"); ours {
				assert.Contains(t, string(text), "`TENON_"+strings.TrimSuffix(setting, "_FILE")+"`", "%s of %s", variable, name)
			}
		}
	}
}

// The image is not root's, and has what the file runs.
func TestDockerfile(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root(t), "Dockerfile"))
	require.NoError(t, err)
	_, final, ok := strings.Cut(string(text), "\nFROM gcr.io/")
	require.True(t, ok, "a stage that builds, and one that runs")
	assert.Contains(t, final, "USER 65532:65532")
	assert.Contains(t, string(text), "CGO_ENABLED=0")
	module, err := os.ReadFile(filepath.Join(root(t), "go.mod"))
	require.NoError(t, err)
	version := regexp.MustCompile(`(?m)^go (\S+)$`).FindSubmatch(module)
	require.NotNil(t, version)
	assert.Contains(t, string(text), "FROM golang:"+string(version[1])+"-", "the compiler of go.mod")
}
