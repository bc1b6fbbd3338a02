package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

func alert(kind, subject string) store.Alert {
	return store.Alert{ID: schema.NewID(schema.PrefixAlert), Namespace: "ns_1", Kind: kind, Subject: subject}
}

// TestAlerts: an alert is there when what it tells of is, and only then; one of a
// kind and subject is pending at a time and counts; what is raised while it is sent
// is another one, a minute later.
func TestAlerts(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		_, made := b.Provision(t)
		w := storetest.Open(t, made.Cell, store.SideCell).Work()
		ctx := t.Context()
		next, err := w.NextAlert(ctx)
		require.NoError(t, err)
		require.Nil(t, next)

		ends := func(seq int64, stranger bool) error {
			r := started(t, w, seq)
			c := store.RunCommit{
				Run: r.ID, Carrier: r.Carrier, Epoch: r.Epoch, End: &store.RunEnd{State: store.RunUncertain, At: time.Now()},
				Alerts: []store.Alert{alert(store.AlertUncertain, "flow_1")},
			}
			if stranger {
				c.Epoch++
			}
			return w.Commit(ctx, c)
		}
		require.Equal(t, schema.CodeFenced, schema.CodeOf(ends(1, true)))
		due := func() []store.Alert {
			all, err := w.DueAlerts(ctx, time.Now())
			require.NoError(t, err)
			return all
		}
		require.Empty(t, due(), "who is fenced raises nothing")
		require.NoError(t, ends(2, false))
		require.NoError(t, ends(3, false))
		all := due()
		require.Len(t, all, 1)
		assert.EqualValues(t, 2, all[0].Count)

		// It could not be sent.
		all[0].ErrorSealed = []byte("why")
		require.NoError(t, w.PostponeAlerts(ctx, all[0], time.Now(), time.Now().Add(time.Hour), draft("credential.used", "con_1")))
		require.Empty(t, due())
		next, err = w.NextAlert(ctx)
		require.NoError(t, err)
		require.WithinDuration(t, time.Now().Add(time.Hour), *next, time.Minute)
		refused, err := w.ListAlerts(ctx, "ns_1", store.Page{})
		require.NoError(t, err)
		require.Equal(t, "why", string(refused[0].ErrorSealed))
		all[0].ErrorSealed = nil

		// It was sent as it was read; one more was raised meanwhile.
		require.NoError(t, ends(4, false))
		require.NoError(t, w.EndAlert(ctx, all[0], store.AlertSent, schema.NewID(schema.PrefixAlert), draft("alert.sent", all[0].ID)))
		listed, err := w.ListAlerts(ctx, "ns_1", store.Page{})
		require.NoError(t, err)
		require.Len(t, listed, 2)
		assert.Equal(t, []string{store.AlertPending, store.AlertSent}, []string{listed[0].State, listed[1].State})
		assert.Equal(t, []int64{1, 2}, []int64{listed[0].Count, listed[1].Count})
		assert.Empty(t, listed[1].ErrorSealed, "it was told after all")
		require.Empty(t, due(), "it rests")
		require.NoError(t, w.EndAlert(ctx, all[0], store.AlertSent, "alert_x"), "again")

		// Another subject does not wait for it, and one that comes back rests too.
		require.NoError(t, w.PutCustody(ctx, store.Custody{Connection: "con_1", Namespace: "ns_1", Alerts: []store.Alert{alert(store.AlertSuspended, "con_1")}}))
		all = due()
		require.Len(t, all, 1)
		require.NoError(t, w.EndAlert(ctx, all[0], store.AlertUnheard, "alert_y"))
		require.NoError(t, w.PutCustody(ctx, store.Custody{Connection: "con_1", Namespace: "ns_1", Alerts: []store.Alert{alert(store.AlertSuspended, "con_1")}}))
		require.Empty(t, due())

		// A command is applied once.
		for range 2 {
			require.NoError(t, w.ApplyAlert(ctx, 7, alert(store.AlertTest, "ns_1")))
		}
		all = due()
		require.Len(t, all, 1)
		require.EqualValues(t, 1, all[0].Count)

		require.NoError(t, w.RemoveAlerts(ctx, time.Now().Add(time.Minute)))
		listed, err = w.ListAlerts(ctx, "ns_1", store.Page{})
		require.NoError(t, err)
		require.Len(t, listed, 3, "what is pending stays")
		page, err := w.ListAlerts(ctx, "ns_1", store.Page{After: listed[0].ID, Limit: 1})
		require.NoError(t, err)
		require.Equal(t, listed[1:2], page)
		page, err = w.ListAlerts(ctx, "ns_2", store.Page{})
		require.NoError(t, err)
		require.Empty(t, page)
	})
}
