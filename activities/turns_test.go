package activities

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/plugins/host"
	"github.com/tenonhq/tenon/plugins/sdk"
	"github.com/tenonhq/tenon/schema/store"
)

// callers are calls that enter, each of which ends when the test says so.
type callers struct {
	*turns
	t    *testing.T
	left map[string][]func()
	sent map[string][]entry
}

func newCallers(t *testing.T) *callers {
	return &callers{turns: newTurns(time.Now), t: t, left: map[string][]func(){}, sent: map[string][]entry{}}
}

func (c *callers) call(key string, n, most int) {
	for range n {
		go func() {
			in, err := c.enter(c.t.Context(), key, "http", most)
			c.mu.Lock()
			defer c.mu.Unlock()
			if err == nil && in.leave != nil {
				c.left[key] = append(c.left[key], in.leave)
			} else {
				c.sent[key] = append(c.sent[key], in)
			}
		}()
	}
	synctest.Wait()
}

func (c *callers) live(key string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.left[key])
}

func (c *callers) end(key string) {
	c.mu.Lock()
	leave := c.left[key][0]
	c.left[key] = c.left[key][1:]
	c.mu.Unlock()
	leave()
	synctest.Wait()
}

// pass has the bubble's clock go on.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func answer(status int, after string) *sdk.Response {
	resp := &sdk.Response{Status: status, Header: map[string][]string{}}
	if after != "" {
		resp.Header["Retry-After"] = []string{after}
	}
	return resp
}

// TestTurns: a connection's limit is held, those in line come in their order, and
// however many systems hang there is room for another's calls.
func TestTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(t)
		c.call("a", 100, 3)
		require.Equal(t, 3, c.live("a"))
		c.call("b", 1, 3)
		require.Equal(t, 1, c.live("b"), "another's calls do not wait")
		c.end("a")
		require.Equal(t, 3, c.live("a"), "the next one's turn")
		pass(turnPatience)
		require.Len(t, c.sent["a"], 100-4)
		require.Equal(t, entry{wait: askAgain}, c.sent["a"][0], "nobody stands in line for ever")
	})
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(t)
		var live []int
		for _, key := range []string{"a", "b", "c", "d", "e", "f"} {
			c.call(key, 100, 32)
			live = append(live, c.live(key))
		}
		require.Equal(t, []int{32, 16, 8, 4, 2, 1}, live)
		for range 16 {
			c.end("a")
		}
		require.Equal(t, 16, c.live("a"), "who has least comes first")
		require.LessOrEqual(t, c.turns.live["http"], host.RunsAtATime)
		pass(turnPatience)
	})
}

// TestGate: a system that refuses is left alone for as long as it says, its calls
// are sent away, and another's are not.
func TestGate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(t)
		c.call("a", 6, 4)
		require.True(t, c.answered("a", answer(http.StatusTooManyRequests, "20")))
		require.True(t, c.answered("a", answer(http.StatusServiceUnavailable, "10")), "the longer one holds")
		synctest.Wait()
		require.Len(t, c.sent["a"], 2, "those in line")
		c.call("a", 1, 4)
		for i, in := range c.sent["a"] {
			require.True(t, in.closed)
			require.Equal(t, 20*time.Second+time.Duration(i)*apart, in.wait, "they come back one after the other")
		}
		c.call("b", 1, 4)
		require.Equal(t, 1, c.live("b"))
		for range 4 {
			c.end("a")
		}
		pass(20 * time.Second)
		c.call("a", 4, 4)
		require.Equal(t, 2, c.live("a"), "it is sent half as much at a time")
		for range 2 {
			require.False(t, c.answered("a", answer(http.StatusCreated, "")))
			c.end("a")
		}
		c.call("a", 4, 4)
		require.Equal(t, 3, c.live("a"), "and more again, as it answers")
		pass(turnPatience)
	})
}

// TestGateWithoutHint: the pause doubles with each refusal in a row, is bounded
// whatever the system asks for, and begins anew after an answer.
func TestGateWithoutHint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCallers(t)
		c.call("a", 1, 4)
		closed := func(after string) time.Duration {
			c.answered("a", answer(http.StatusTooManyRequests, after))
			c.mu.Lock()
			defer c.mu.Unlock()
			return time.Until(c.gates["a"].closed)
		}
		for _, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
			require.Equal(t, want*time.Second, closed(""))
			pass(want * time.Second)
		}
		c.answered("a", answer(http.StatusNotFound, ""))
		require.Equal(t, time.Second, closed(""))
		pass(time.Second)
		for _, after := range []string{"86400", "2147483647", time.Now().Add(24 * time.Hour).UTC().Format(http.TimeFormat)} {
			require.Equal(t, longestClosed, closed(after))
			pass(longestClosed)
		}
		at := time.Now().Add(9 * time.Second).UTC().Truncate(time.Second)
		require.Equal(t, time.Until(at), closed(at.Format(http.TimeFormat)))
		pass(time.Minute)
		for _, nonsense := range []string{"-5", "soon", "1e9", "99999999999999999999", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)} {
			require.LessOrEqual(t, closed(nonsense), longestPause)
			pass(longestPause)
		}
		require.False(t, c.answered("a", answer(http.StatusServiceUnavailable, "")), "it may be broken, and says nothing of calls")
		require.False(t, c.answered("a", answer(http.StatusOK, "60")))
		require.True(t, c.answered("nobody", answer(http.StatusTooManyRequests, "")), "who has not entered closes nothing")
	})
}

// TestLineHasNoPatience: a call that stands in line by its connection's own limit is
// put off for as long as that takes; only what the system asks for uses patience up.
func TestLineHasNoPatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &Executor{now: time.Now, turns: newTurns(time.Now), puts: make(map[string]map[string]time.Time)}
		s := &scope{e: e, st: &runState{run: store.Run{ID: "run", Flow: "flow"}}}
		a := &attempt{e: e, in: host.Invocation{Connector: "http"}}
		a.conn.MaxCalls = 1
		_, err := e.turns.enter(t.Context(), "flow", "http", 1)
		require.NoError(t, err)
		for range 2 * int(a.conn.patience()/turnPatience) {
			_, p, err := e.turn(t.Context(), s, a)
			require.Nil(t, p)
			var put *later
			require.ErrorAs(t, err, &put)
			require.Equal(t, askAgain, put.wait)
		}
	})
}
