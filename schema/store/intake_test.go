package store_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/store/storetest"
)

// opens stands for opening a source's configuration, which says what the row holds.
func opens(s store.Source) (config.Source, error) {
	return config.Source{Verifier: string(s.ConfigSealed)}, nil
}

// deployed is a flow with a source.
func deployed(t *testing.T, d *store.Door, name string) (store.Flow, store.Source) {
	t.Helper()
	n := namespace(t, d)
	flow, _, _, err := d.DeployFlow(t.Context(), store.Flow{Namespace: n.ID, Name: name}, store.FlowVersion{Digest: name + "1", CreatedBy: "key_test"}, draft("flow.deploy", name))
	require.NoError(t, err)
	s := store.Source{
		ID: schema.NewID(schema.PrefixSource), Namespace: n.ID, Name: name, Flow: flow.ID, Verifier: "standard", ConfigSealed: []byte("first"), CreatedAt: at,
	}
	require.NoError(t, d.CreateSource(t.Context(), s, draft("source.create", s.ID)))
	return flow, s
}

// A message that was verified with what does not hold anymore is not kept, whoever
// changed it; whatever else is written meanwhile changes nothing (invariant 5).
func TestMessagesAreKeptWithWhatHolds(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		_, made := b.Provision(t)
		here, there := storetest.Open(t, made.API, store.SideAPI).Door(), storetest.Open(t, made.API, store.SideAPI).Door()
		flow, source := deployed(t, here, "shop")
		row := func() store.Source {
			s, err := there.GetSource(t.Context(), source.ID)
			require.NoError(t, err)
			return s
		}
		version := 1
		for _, c := range []struct {
			name    string
			changes bool
			act     func(ctx context.Context, d *store.Door) error
		}{
			{"its configuration", true, func(ctx context.Context, d *store.Door) error {
				to := row()
				to.ConfigSealed = append(to.ConfigSealed, '+')
				return d.ChangeSource(ctx, row(), to, draft("source.update", source.ID))
			}},
			{"suspended", true, func(ctx context.Context, d *store.Door) error {
				return d.SetSourceState(ctx, source.Namespace, source.ID, store.SourceSuspended, draft("source.update", source.ID))
			}},
			{"active again", true, func(ctx context.Context, d *store.Door) error {
				return d.SetSourceState(ctx, source.Namespace, source.ID, store.SourceActive, draft("source.update", source.ID))
			}},
			{"its flow's state", true, func(ctx context.Context, d *store.Door) error {
				return d.ChangeFlow(ctx, flow.Namespace, flow.ID, store.FlowChange{State: store.FlowPaused}, draft("flow.update", flow.ID))
			}},
			{"its flow's version", true, func(ctx context.Context, d *store.Door) error {
				version++
				_, _, _, err := d.DeployFlow(ctx, store.Flow{Namespace: flow.Namespace, Name: flow.Name}, store.FlowVersion{Digest: fmt.Sprint("shop", version), CreatedBy: "key_test"}, draft("flow.deploy", flow.ID))
				return err
			}},
			{"another event", false, func(ctx context.Context, d *store.Door) error {
				_, _, err := d.AcceptEvent(ctx, event("src_1", schema.NewID("other")), draft("event.accept", ""))
				return err
			}},
			{"another flow and its source", false, func(ctx context.Context, d *store.Door) error {
				deployed(t, d, schema.NewID("name"))
				return nil
			}},
			{"its flow's limit", false, func(ctx context.Context, d *store.Door) error {
				most := 7
				return d.ChangeFlow(ctx, flow.Namespace, flow.ID, store.FlowChange{MaxRuns: &most}, draft("flow.update", flow.ID))
			}},
			{"an entry of the log", false, func(ctx context.Context, d *store.Door) error { return d.AppendAudit(ctx, draft("any", "")) }},
			{"deleted", true, func(ctx context.Context, d *store.Door) error {
				return d.SetSourceState(ctx, source.Namespace, source.ID, store.SourceDeleted, draft("source.delete", source.ID))
			}},
		} {
			for who, d := range map[string]*store.Door{"this process": here, "another process": there} {
				t.Run(c.name+" by "+who, func(t *testing.T) {
					known, err := here.Intake(t.Context(), source.ID, opens)
					require.NoError(t, err)
					first := event(source.ID, schema.NewID("first"))
					_, duplicate, err := here.AcceptMessage(t.Context(), first, draft("event.accept", first.ID), known)
					require.NoError(t, err)
					require.False(t, duplicate)
					require.NoError(t, c.act(t.Context(), d))
					head, err := here.AuditHead(t.Context())
					require.NoError(t, err)

					again := first
					again.ID = schema.NewID(schema.PrefixEvent)
					for _, e := range []store.Event{event(source.ID, schema.NewID("late")), again} {
						_, _, err = here.AcceptMessage(t.Context(), e, draft("event.accept", e.ID), known)
						if !c.changes {
							require.NoError(t, err)
							continue
						}
						require.ErrorIs(t, err, store.ErrChanged)
						_, err = here.GetEvent(t.Context(), e.Namespace, e.ID)
						wantCode(t, schema.CodeNotFound, err)
						after, err := here.AuditHead(t.Context())
						require.NoError(t, err)
						require.Equal(t, head, after)
					}
					fresh, err := here.Intake(t.Context(), source.ID, opens)
					require.NoError(t, err)
					require.Equal(t, string(row().ConfigSealed), fresh.Config.Verifier)
					stored, duplicate, err := here.AcceptMessage(t.Context(), again, draft("event.accept", again.ID), fresh)
					require.NoError(t, err)
					require.True(t, duplicate)
					require.Equal(t, first.ID, stored.ID)
				})
			}
		}
		_, err := here.VerifyAudit(t.Context())
		require.NoError(t, err)
	})
}

// Many messages come while a source changes again and again, in two processes: none is
// kept with what did not hold, those that hold are kept beside those that do not.
func TestMessagesWhileASourceChanges(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		_, made := b.Provision(t)
		doors := []*store.Door{storetest.Open(t, made.API, store.SideAPI).Door(), storetest.Open(t, made.API, store.SideAPI).Door()}
		_, source := deployed(t, doors[0], "shop")
		var generation, kept, changed atomic.Int64
		var wg, changing sync.WaitGroup
		done := make(chan struct{})
		changing.Go(func() {
			for i := int64(1); ; i++ {
				select {
				case <-done:
					return
				default:
				}
				was, err := doors[1].GetSource(t.Context(), source.ID)
				to := was
				to.ConfigSealed = fmt.Append(nil, i)
				if err == nil {
					err = doors[i%2].ChangeSource(t.Context(), was, to, draft("source.update", source.ID))
				}
				if !assert.NoError(t, err) { //nolint:testifylint // Not the goroutine of the test.
					return
				}
				generation.Store(i)
			}
		})
		for g := range 16 {
			wg.Go(func() {
				d := doors[g%2]
				for i := range 40 {
					with, ok := d.Remembered(source.ID)
					var err error
					if !ok || i%4 == 0 {
						if with, err = d.Intake(t.Context(), source.ID, opens); !assert.NoError(t, err) {
							return
						}
						d.Remember(with)
					}
					since := generation.Load()
					e := event(source.ID, fmt.Sprint(g, "/", i))
					_, _, err = d.AcceptMessage(t.Context(), e, draft("event.accept", e.ID), with)
					var read int64
					_, _ = fmt.Sscan(with.Config.Verifier, &read)
					switch {
					case schema.CodeOf(err) == schema.CodeUnavailable:
						changed.Add(1)
					case !assert.NoError(t, err): //nolint:testifylint // As above.
						return
					default:
						kept.Add(1)
						assert.GreaterOrEqual(t, read, since, "kept with what was changed before it was asked for")
					}
				}
			})
		}
		wg.Wait()
		close(done)
		changing.Wait()
		require.Positive(t, kept.Load())
		require.Positive(t, changed.Load())
		events, err := doors[0].EventsAfter(t.Context(), 0, 1000)
		require.NoError(t, err)
		require.Len(t, events, int(kept.Load()))
		_, err = doors[0].VerifyAudit(t.Context())
		require.NoError(t, err)
	})
}

// What was read is in memory for no longer than a moment.
func TestWhatIsRememberedIsForgotten(t *testing.T) {
	storetest.Each(t, func(t *testing.T, b storetest.Backend) {
		api, _ := b.Sides(t)
		d := api.Door()
		_, source := deployed(t, d, "shop")
		_, ok := d.Remembered(source.ID)
		require.False(t, ok)
		found, err := d.Intake(t.Context(), source.ID, opens)
		require.NoError(t, err)
		_, ok = d.Remembered(source.ID)
		require.False(t, ok, "nobody had a message accepted")
		d.Remember(found)
		known, ok := d.Remembered(source.ID)
		require.True(t, ok)
		require.True(t, known.Same(found))
		require.Empty(t, known.Source.ConfigSealed)
		require.NoError(t, d.SetSourceState(t.Context(), source.Namespace, source.ID, store.SourceSuspended, draft("source.update", source.ID)))
		found, err = d.Intake(t.Context(), source.ID, opens)
		require.NoError(t, err)
		require.False(t, known.Same(found))
		d.Remember(found)
		known, ok = d.Remembered(source.ID)
		require.True(t, ok)
		require.Equal(t, store.SourceSuspended, known.Source.State)
		require.Eventually(t, func() bool {
			_, ok := d.Remembered(source.ID)
			return !ok
		}, 30*time.Second, 10*time.Millisecond)
	})
}
