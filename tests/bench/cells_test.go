package bench

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema/store/storetest"
)

var (
	organizations = flag.Int("organizations", 1000, "how many organizations BenchmarkCells makes")
	awake         = flag.Int("awake", 20, "how many of them have something to do, each every two seconds")
)

const (
	// wakes is how many times a cell is woken, provisions how many are made one
	// after the other.
	wakes, provisions = 7, 7
	// period is how often an organization that is awake has something to do.
	period = 2 * time.Second
	// creators is how many organizations are asked for at a time.
	creators = 8
	// patience is how long an order may take while the machine is busy with waking.
	patience = 3 * time.Minute
)

// wakeFigures measures how long a cell takes to be made, and to wake: from the
// event's sending to the arrival of the first call of its flow.
func wakeFigures(b *testing.B, r *report, rec *recorder) {
	b.Helper()
	p := start(b, "", "TENON_CELL_IDLE=1s")
	admin := p.administrator(b)
	var made, woken []time.Duration
	for range provisions {
		began := time.Now()
		p.organization(b, admin)
		made = append(made, time.Since(began))
	}
	r.plain("provision_s", median(made).Seconds(), "s", "-")
	t := p.tenant(b, rec.target)
	for i := range int64(wakes) {
		until(b, time.Minute, "the cell sleeps", func() bool { return p.awake() == 0 })
		began := time.Now()
		order := "wake-" + itoa(i)
		require.NoError(b, t.post(b.Context(), order))
		rec.wait(b, order, 30*time.Second)
		woken = append(woken, rec.asked.Load().Sub(began))
	}
	r.plain("cell_wake_p50_ms", milliseconds(median(woken)), "ms", "<= 500")
	p.end()
}

// awake counts the worker processes of cells.
func (p *platform) awake() (n int) {
	for _, f := range family(p.pid) {
		if f.name == "tenon-cell" {
			n++
		}
	}
	return n
}

// BenchmarkCells makes many organizations on one machine and lets some of them
// work, on SQLite and on PostgreSQL. Run it with -benchtime 1x.
func BenchmarkCells(b *testing.B) {
	var r report
	rec := startRecorder(b)
	if asked("sqlite") {
		manyCells(b, &r, rec, "cells", start(b, "", "TENON_CELL_IDLE=10s"), nil)
	}
	if asked("postgres") {
		cluster := storetest.Postgres(b)
		p := start(b, cluster.Database(b), "TENON_CELL_IDLE=10s")
		watch := open(b, cluster, "postgres")
		manyCells(b, &r, rec, "cells_postgres", p, func() (sessions int) {
			require.NoError(b, watch.QueryRowContext(b.Context(),
				"SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'").Scan(&sessions))
			return sessions
		})
	}
	r.print(os.Stdout)
	if *result != "" && !b.Failed() {
		r.merge(b, *result)
	}
}

// manyCells counts the organizations that one machine holds: each can be used,
// those that work lose no order, and no other has a process.
func manyCells(b *testing.B, r *report, rec *recorder, name string, p *platform, sessions func() int) {
	b.Helper()
	admin := p.administrator(b)
	began := time.Now()
	ids := make([]string, *organizations)
	next := make(chan int)
	var creating sync.WaitGroup
	for range creators {
		creating.Go(func() {
			for i := range next {
				ids[i] = p.organization(b, admin)
			}
		})
	}
	for i := range ids {
		next <- i
	}
	close(next)
	creating.Wait()
	fmt.Printf("%s: %d organizations made in %s\n", name, len(ids), time.Since(began).Round(time.Second))
	most := 0

	tenants := make([]*tenant, *awake)
	for i := range tenants {
		tenants[i] = p.equip(b, admin, ids[i*len(ids) / *awake], rec.target)
	}
	var took []time.Duration
	round := func(n int64, counted bool) {
		sent := map[string]time.Time{}
		for i, t := range tenants {
			order := fmt.Sprintf("%s-%d-%d", name, n, i)
			sent[order] = time.Now()
			require.NoError(b, t.post(b.Context(), order))
			pause(period / time.Duration(*awake))
		}
		if sessions != nil {
			most = max(most, sessions())
		}
		for order := range sent {
			at := rec.seen(b, order, patience)
			if counted {
				took = append(took, at.Sub(sent[order]))
			}
		}
	}
	for n := range int64(3) {
		round(n, false)
	}
	before, from := spent(p.pid), time.Now()
	for n := range int64(10) {
		round(3+n, true)
	}
	used, lasted := spent(p.pid).since(before), time.Since(from)
	all := family(p.pid)
	require.Equal(b, *awake, p.awake(), "cells that have work are awake, others are not")
	mib, ok := resident(all)
	require.True(b, ok)
	for _, id := range ids {
		var org struct{ State string }
		admin.do(b, http.MethodGet, "/v1/organizations/"+id, nil, &org)
		require.Equal(b, "active", org.State)
	}
	r.plain(name, float64(len(ids)), "organizations", ">= 1000")
	fmt.Printf("%s: %d awake; %d processes, %.0f MiB, %.2f cores, p50 %s\n", name, *awake, len(all), mib,
		used.total().Seconds()/lasted.Seconds(), median(took).Round(time.Millisecond))
	if sessions != nil {
		fmt.Printf("%s: %d sessions at most\n", name, most)
	}
	p.end()
}
