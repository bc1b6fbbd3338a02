package store_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// TestRoom: a cell whose databases take their limit takes nothing new in.
func TestRoom(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		api, _ := b.Sides(t)
		require.NoError(t, api.Room(0).Check(t.Context()), "no limit")
		require.NoError(t, api.Room(1<<40).Check(t.Context()))
		// Even an empty cell takes more than a kilobyte.
		err := api.Room(1 << 10).Check(t.Context())
		require.Equal(t, schema.CodeFull, schema.CodeOf(err), "%v", err)
	})
}
