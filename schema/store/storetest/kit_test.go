package storetest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema/store/storetest"
)

func TestEachBackendOpens(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		require.NoError(t, b.Control(t).Ping(t.Context()))
		api, cell := b.Sides(t)
		require.NoError(t, api.Ping(t.Context()))
		require.NoError(t, cell.Ping(t.Context()))
	})
}
