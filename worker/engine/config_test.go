package engine_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema/token"
	"github.com/tenonhq/tenon/worker/engine"
)

// What cannot be run safely is refused before anything listens.
func TestConfigIsChecked(t *testing.T) {
	t.Parallel()
	signer, err := token.NewSigner()
	require.NoError(t, err)
	good := engine.Config{Directory: t.TempDir(), Verifier: signer.Verifier(), Logger: quiet()}
	for name, spoil := range map[string]func(*engine.Config){
		"no verifier":             func(c *engine.Config) { c.Verifier = nil },
		"no logger":               func(c *engine.Config) { c.Logger = nil },
		"a relative directory":    func(c *engine.Config) { c.Directory = "data" },
		"the world":               func(c *engine.Config) { c.Frontend = "0.0.0.0:7233" },
		"the world's UI":          func(c *engine.Config) { c.UI = "[::]:8080" },
		"a name":                  func(c *engine.Config) { c.Frontend = "engine.example:7233" },
		"a port too high":         func(c *engine.Config) { c.Frontend = "127.0.0.1:70000" },
		"a plain remote codec":    func(c *engine.Config) { c.CodecEndpoint = "http://codec.example/" },
		"a codec with a password": func(c *engine.Config) { c.CodecEndpoint = "https://user:secret@codec.example/" },
		"a plain remote database": func(c *engine.Config) { c.PostgresURL = "postgres://u:" + canary + "@db.example/x?sslmode=require" },
		"another database":        func(c *engine.Config) { c.PostgresURL = "mysql://u:" + canary + "@127.0.0.1/x" },
		"a hostile prefix":        func(c *engine.Config) { c.PostgresURL, c.DatabasePrefix = "postgres://127.0.0.1/x", `a"; drop` },
		"a taken port":            func(c *engine.Config) { c.Frontend = shared.engine.Frontend() },
	} {
		config := good
		spoil(&config)
		_, err := engine.Start(t.Context(), config)
		require.Error(t, err, name)
		assert.NotContains(t, err.Error(), canary, name)
	}
}
