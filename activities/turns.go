package activities

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/tenonhq/tenon/plugins/host"
	"github.com/tenonhq/tenon/plugins/sdk"
)

const (
	// turnPatience is how long a step waits in line before it asks again: the call
	// needs its own time within the step's limit.
	turnPatience = 30 * time.Second
	// askAgain is the pause before it does.
	askAgain = time.Second
	// firstPause closes a gate after an answer that does not say for how long; it
	// doubles with each one in a row, up to longestPause.
	firstPause, longestPause = time.Second, time.Minute
	// longestClosed bounds what an answer may ask for.
	longestClosed = 4 * time.Minute
	// apart is the distance in which those come back that a closed gate sent away,
	// longestApart that of the last.
	apart, longestApart = 50 * time.Millisecond, 30 * time.Second
)

// turns bounds the calls that are under way at a time, of each connection and of
// each connector, and keeps calls from a system that asked to be left alone. A
// connection may have as many calls as its connector has room left for all
// others: those of a system that hangs hold no other's back.
type turns struct {
	now func() time.Time

	mu    sync.Mutex
	gates map[string]*gate
	// live are the calls under way, by connector.
	live map[string]int
}

// gate is what calls of one connection go through.
type gate struct {
	connector string
	live      int
	// most is the connection's limit, width how many calls its system seems to
	// take: halved when it refuses, and one more for each round of answers.
	most, width, credit int
	line                []*turn
	// closed is until when nothing is sent, refusals how often in a row the
	// system asked for that, away how many calls were sent away meanwhile.
	closed         time.Time
	refusals, away int
}

// turn is one call in line: ready is closed when it is granted, or the gate closed.
type turn struct {
	ready   chan struct{}
	granted bool
}

func newTurns(now func() time.Time) *turns {
	return &turns{now: now, gates: make(map[string]*gate), live: make(map[string]int)}
}

// entry is what a call that enters comes to: leave, which must be called, or how
// long to wait before it enters again.
type entry struct {
	leave func()
	// waited: it stood in line, and what it knew may be old.
	waited bool
	wait   time.Duration
	// closed: the system asked to be left alone until then.
	closed bool
}

// enter waits for a turn at the gate.
func (t *turns) enter(ctx context.Context, key, connector string, most int) (entry, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.gate(key, connector, most)
	if wait := g.sendAway(t.now()); wait > 0 {
		return entry{wait: wait, closed: true}, nil
	}
	leave := func() { t.leave(g) }
	if len(g.line) == 0 && t.admits(g) {
		t.grant(g)
		return entry{leave: leave}, nil
	}
	mine := &turn{ready: make(chan struct{})}
	g.line = append(g.line, mine)
	t.mu.Unlock()
	late := time.NewTimer(turnPatience)
	defer late.Stop()
	select {
	case <-mine.ready:
	case <-late.C:
	case <-ctx.Done():
	}
	t.mu.Lock()
	if mine.granted {
		return entry{leave: leave, waited: true}, nil
	}
	if i := slices.Index(g.line, mine); i >= 0 {
		g.line = slices.Delete(g.line, i, i+1)
		return entry{wait: askAgain}, ctx.Err()
	}
	return entry{wait: max(g.sendAway(t.now()), askAgain), closed: true}, nil
}

func (t *turns) gate(key, connector string, most int) *gate {
	g := t.gates[key]
	if g == nil {
		g = &gate{connector: connector}
		t.gates[key] = g
	}
	if g.most != most {
		g.most, g.width = most, most
	}
	return g
}

// sendAway tells a call for how long it is sent away; zero when the gate is open.
func (g *gate) sendAway(now time.Time) time.Duration {
	if !now.Before(g.closed) {
		return 0
	}
	wait := g.closed.Sub(now) + min(time.Duration(g.away)*apart, longestApart)
	g.away++
	return wait
}

func (t *turns) admits(g *gate) bool {
	return g.live < min(g.width, g.most, host.RunsAtATime-t.live[g.connector])
}

func (t *turns) grant(g *gate) {
	g.live++
	t.live[g.connector]++
}

func (t *turns) leave(g *gate) {
	t.mu.Lock()
	defer t.mu.Unlock()
	g.live--
	t.live[g.connector]--
	t.dispatch()
}

// dispatch grants the turns that there is room for, who has least first.
func (t *turns) dispatch() {
	for {
		var next *gate
		for _, g := range t.gates {
			if len(g.line) > 0 && t.admits(g) && (next == nil || g.live < next.live) {
				next = g
			}
		}
		if next == nil {
			return
		}
		first := next.line[0]
		next.line = next.line[1:]
		first.granted = true
		t.grant(next)
		close(first.ready)
	}
}

// answered takes what an answer tells of the system, and reports whether it asks
// to be left alone (RFC 6585, 4; RFC 9110, 15.6.4).
func (t *turns) answered(key string, resp *sdk.Response) (refused bool) {
	after := http.Header(resp.Header).Get("Retry-After")
	refused = resp.Status == http.StatusTooManyRequests || resp.Status == http.StatusServiceUnavailable && after != ""
	t.mu.Lock()
	defer t.mu.Unlock()
	g := t.gates[key]
	switch now := t.now(); {
	case g == nil:
	case refused:
		g.close(now, retryAfter(after, now))
	case resp.Status < http.StatusInternalServerError && !now.Before(g.closed):
		g.refusals = 0
		if g.credit++; g.credit >= g.width && g.width < g.most {
			g.width, g.credit = g.width+1, 0
			t.dispatch()
		}
	}
	return refused
}

// close sends those in line away. Refusals of calls that were under way together
// count as one.
func (g *gate) close(now time.Time, pause time.Duration) {
	if !now.Before(g.closed) {
		g.width, g.credit, g.away = max(1, g.width/2), 0, 0
		g.refusals++
	}
	if pause <= 0 {
		pause = min(firstPause<<min(g.refusals-1, 10), longestPause)
	}
	if until := now.Add(min(pause, longestClosed)); until.After(g.closed) {
		g.closed = until
	}
	for _, waits := range g.line {
		close(waits.ready)
	}
	g.line = nil
}

// left is how long the gate is closed still, for a call that it refused.
func (t *turns) left(key string) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	if g := t.gates[key]; g != nil {
		return max(g.sendAway(t.now()), askAgain)
	}
	return askAgain
}

// retryAfter reads seconds or a date (RFC 9110, 10.2.3); zero for neither.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return at.Sub(now)
	}
	return 0
}
