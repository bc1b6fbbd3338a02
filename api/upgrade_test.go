package api_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/api"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// The databases of a cell that slept through an upgrade are those of the older
// binary, and its host migrates them when it claims the cell: the first request
// wakes it, or it would sleep, and be refused, for ever.
func TestAskedForAfterAnUpgrade(t *testing.T) {
	t.Parallel()
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		p := newPlatformOn(t, t.TempDir(), b)
		o := p.tenant("acme")
		o.deploy(billing)
		push := o.github("hub")
		host := schema.NewID(schema.PrefixHost)
		claim := func() []store.CellRow {
			rows, err := p.control.ClaimCells(t.Context(), host, time.Now().Add(time.Hour), time.Now(), 10)
			require.NoError(t, err)
			return rows
		}
		rows := claim()
		require.Len(t, rows, 1)
		require.NoError(t, p.control.SleepCell(t.Context(), host, o.org, rows[0].Epoch, rows[0].Touches, nil))
		require.Empty(t, claim())

		b.Older(t, p.made[o.org])
		upgraded, err := api.New(p.config)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, upgraded.Close()) })
		p.server.Close()
		p.server = httptest.NewServer(upgraded.Handler())
		rings := p.rung(o.org)
		r := push(`{"n":1}`)
		require.Equal(t, http.StatusServiceUnavailable, r.status, "%s", r.body)
		assert.NotEmpty(t, r.header.Get("Retry-After"))
		assert.Greater(t, p.rung(o.org), rings)
		require.Len(t, claim(), 1, "it is asleep no longer")

		require.NoError(t, store.MigrateCell(t.Context(), p.admins, o.org))
		require.Equal(t, http.StatusAccepted, push(`{"n":1}`).status)
	})
}
