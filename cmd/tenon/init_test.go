package main

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/api"
	"github.com/tenonhq/tenon/cmd/internal/settings"
	"github.com/tenonhq/tenon/schema/store"
)

// TestInitIsGoneOnWith: killed before or after it made the administrator's key valid,
// init makes that key valid the next time, and no other.
func TestInitIsGoneOnWith(t *testing.T) {
	for name, killed := range map[string]func(t *testing.T, e env){
		"before the key was valid": func(t *testing.T, e env) {
			key := api.NewAdministratorKey()
			require.NoError(t, os.WriteFile(e.adminKey+".new", append(key.Reveal(), '\n'), 0o600))
		},
		"after the key was valid": func(t *testing.T, e env) {
			require.NoError(t, initialize(t.Context(), e))
			require.NoError(t, os.Rename(e.adminKey, e.adminKey+".new"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			data := t.TempDir()
			e := env{paths: pathsOf(data), Settings: settings.Settings{
				Data: data, RootKey: filepath.Join(data, "keys", "root.key"), APIKey: filepath.Join(data, "keys", "api.key"),
			}}
			killed(t, e)
			staged, err := os.ReadFile(e.adminKey + ".new")
			require.NoError(t, err)
			for range 2 {
				require.NoError(t, initialize(t.Context(), e))
				kept, err := os.ReadFile(e.adminKey)
				require.NoError(t, err)
				require.Equal(t, staged, kept)
				require.NoFileExists(t, e.adminKey+".new")
				info, err := os.Stat(e.adminKey)
				require.NoError(t, err)
				require.Equal(t, os.FileMode(0o600), info.Mode())
			}
			control, err := store.OpenControl(t.Context(), e.controlURL())
			require.NoError(t, err)
			defer func() { require.NoError(t, control.Close()) }()
			keys, err := control.ListKeys(t.Context(), "")
			require.NoError(t, err)
			require.Len(t, keys, 1)
		})
	}
}

// TestInitsAtOnce: of several one makes the administrator's key, and no other is valid.
func TestInitsAtOnce(t *testing.T) {
	data := t.TempDir()
	e := env{paths: pathsOf(data), Settings: settings.Settings{
		Data: data, RootKey: filepath.Join(data, "keys", "root.key"), APIKey: filepath.Join(data, "keys", "api.key"),
	}}
	require.NoError(t, initialize(t.Context(), e))
	for range 20 {
		require.NoError(t, os.Remove(e.adminKey))
		control, err := store.OpenControl(t.Context(), e.controlURL())
		require.NoError(t, err)
		before, err := control.ListKeys(t.Context(), "")
		require.NoError(t, err)
		var group sync.WaitGroup
		errs := make([]error, 4)
		for i := range errs {
			group.Go(func() { errs[i] = e.issueAdministratorKey(t.Context(), control) })
		}
		group.Wait()
		require.NoError(t, errors.Join(errs...))
		require.FileExists(t, e.adminKey)
		after, err := control.ListKeys(t.Context(), "")
		require.NoError(t, err)
		require.Len(t, after, len(before)+1)
		require.NoError(t, control.Close())
	}
}
