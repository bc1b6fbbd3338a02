package bench

import (
	"flag"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema/store/storetest"
)

var (
	binaries = flag.String("binaries", "../../bin", "directory of the binaries")
	result   = flag.String("out", "", "file for the figures, as JSON")
	window   = flag.Duration("window", 10*time.Second, "how long each load lasts")
	parts    = flag.String("parts", "postgres,baseline,latency,recovery,acks,sqlite,wake,bomb,broker,audit,sealing", "what is measured")
)

// asked tells whether a part is to be measured.
func asked(part string) bool { return slices.Contains(strings.Split(*parts, ","), part) }

const (
	// outstanding is how many orders are under way at a time.
	outstanding = 64
	// settling is how long what follows a flow (its end, its indexes) may
	// take and is still counted.
	settling = 2 * time.Second
	warming  = 3 * time.Second
	// idling is longer than a cell keeps what it does not need.
	idling = 20 * time.Second
	// latencies is how many flows are timed one at a time.
	latencies = 100
)

// BenchmarkPlatform measures everything once: its iterations are inside. Run
// it with -benchtime 1x.
func BenchmarkPlatform(b *testing.B) {
	var r report
	k := startBooks(b)
	rec := startRecorder(b)
	cost := 0.0
	if asked("postgres") {
		cost = postgresFigures(b, &r, k, rec)
	}
	if asked("sqlite") {
		sqliteFigures(b, &r, k, rec, cost)
	}
	if asked("wake") {
		wakeFigures(b, &r, rec)
	}
	if asked("bomb") {
		bombFigure(b, &r, rec, "bomb_p50_ms", "")
		bombFigure(b, &r, rec, "bomb_postgres_p50_ms", storetest.Postgres(b).Database(b))
	}
	if asked("broker") {
		brokerFigure(b, &r, rec)
	}
	if asked("audit") {
		auditFigures(b, &r)
	}
	if asked("sealing") {
		sealing(b, &r)
	}
	r.print(os.Stdout)
	if *result != "" && !b.Failed() {
		r.write(b, *result)
	}
}

// postgresFigures measures what is kept in PostgreSQL, and the baseline beside
// it; it returns the milliseconds of a flow.
func postgresFigures(b *testing.B, r *report, k *books, rec *recorder) float64 {
	b.Helper()
	cluster := storetest.Postgres(b)
	server := postmaster(b, cluster)
	p := start(b, cluster.Database(b))
	timed := p.tenant(b, rec.target)
	if asked("latency") {
		r.plain("flow_p50_ms", milliseconds(latency(b, timed, rec, "latency")), "ms", "<= 10")
	}
	t := p.tenant(b, k.target)
	k.drive(b, "warm", warming, t.post)
	bytes := databases(b, cluster)
	before := spent(p.pid, server)
	loaded := time.Now()
	l := k.drive(b, "pg", *window, t.post)
	used := spent(p.pid, server).since(before)
	bytes = databases(b, cluster) - bytes
	t.completed(b)
	begun := t.begun(b, loaded)
	cost := milliseconds(used.total()) / float64(l.flows)
	r.shares = append(r.shares, share{"a flow on PostgreSQL", used, l.flows})

	other, rate := 0.0, 0.0
	if asked("baseline") {
		other, rate = baselineFigures(b, r, p, k, server)
	}
	r.against("flow_cpu_ms", cost, "ms", "ratio <= 0.15", other)
	r.against("flows_per_s", float64(l.flows)/l.took.Seconds(), "1/s", ">= 500", rate)
	r.plain("flow_bytes", float64(bytes)/float64(l.flows), "B", "<= 4096")
	r.plain("begun_p50_ms", milliseconds(median(begun)), "ms", "<= 20")
	r.plain("begun_p99_ms", milliseconds(begun[len(begun)*99/100]), "ms", "")

	if asked("recovery") {
		r.plain("recover_s", recovery(b, p, timed, rec).Seconds(), "s", "<= 5")
	}
	if asked("acks") {
		acks(b, r, p, cluster, k)
	}
	p.end()
	return cost
}

// baselineFigures measures the hand-written worker on the platform's engine,
// whose other namespaces are silent meanwhile.
func baselineFigures(b *testing.B, r *report, p *platform, k *books, server int) (cost, rate float64) {
	b.Helper()
	line := startBaseline(b, p, k)
	k.drive(b, "warm-baseline", warming, line.post)
	watched := []int{line.pid, engineOf(b, p), server}
	before := spent(watched...)
	l := k.drive(b, "baseline", *window, line.post)
	used := spent(watched...).since(before)
	line.end()
	r.shares = append(r.shares, share{"the baseline on PostgreSQL", used, l.flows})
	return milliseconds(used.total()) / float64(l.flows), float64(l.flows) / l.took.Seconds()
}

func sqliteFigures(b *testing.B, r *report, k *books, rec *recorder, postgres float64) {
	b.Helper()
	p := start(b, "")
	up := time.Now()
	first := p.tenant(b, rec.target)
	require.NoError(b, first.post(b.Context(), "first"))
	r.plain("up_s", p.up.Seconds(), "s", "<= 3")
	r.plain("first_flow_s", rec.wait(b, "first", 30*time.Second).Sub(up).Seconds(), "s", "<= 1")
	pause(idling)
	if mib, ok := resident(family(p.cell(b, first.organization))); ok {
		r.plain("cell_idle_mib", mib, "MiB", "<= 40")
	}
	t := p.tenant(b, k.target)
	k.drive(b, "warm-sqlite", warming, t.post)
	before := spent(p.pid)
	l := k.drive(b, "sqlite", *window, t.post)
	used := spent(p.pid).since(before)
	t.completed(b)
	r.shares = append(r.shares, share{"a flow on SQLite", used, l.flows})
	r.against("flow_cpu_sqlite_ms", milliseconds(used.total())/float64(l.flows), "ms", "ratio <= 1.5", postgres)
	p.end()
}

// latency is the median from the webhook posted to the bill's arrival, one
// flow at a time. The name tells its orders from others.
func latency(b *testing.B, t *tenant, rec *recorder, name string) time.Duration {
	b.Helper()
	var took []time.Duration
	for i := range int64(latencies + 10) {
		order := name + "-" + itoa(i)
		began := time.Now()
		require.NoError(b, t.post(b.Context(), order))
		d := rec.wait(b, order, 30*time.Second).Sub(began)
		if i >= 10 {
			took = append(took, d)
		}
		pause(20 * time.Millisecond) // the end of the flow is not of the next one
	}
	return median(took)
}

// recovery is the time from kill -9 of the cell's worker, while it waits for
// its target, to the next effect's arrival.
func recovery(b *testing.B, p *platform, t *tenant, rec *recorder) time.Duration {
	b.Helper()
	rec.stall()
	require.NoError(b, t.post(b.Context(), "recover"))
	rec.wait(b, "recover", 30*time.Second)
	killed := time.Now()
	require.NoError(b, syscall.Kill(p.cell(b, t.organization), syscall.SIGKILL))
	d := rec.wait(b, "recover", 60*time.Second).Sub(killed)
	rec.release()
	return d
}

// engineOf finds the engine's process.
func engineOf(b *testing.B, p *platform) int {
	b.Helper()
	for pid, f := range family(p.pid) {
		if strings.HasPrefix(f.name, "tenon-engine") {
			return pid
		}
	}
	b.Fatal("no engine")
	return 0
}
