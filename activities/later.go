package activities

import (
	"bytes"
	"cmp"
	"context"
	"net/http"
	"time"

	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/flow"
)

// later puts a step off: nothing of it is under way, and the workflow asks for
// it again after the wait, without an activity meanwhile.
type later struct{ wait time.Duration }

// Error implements error.
func (l *later) Error() string { return "the step is asked for again in " + l.wait.String() }

func (c connection) calls() int { return cmp.Or(c.MaxCalls, config.DefaultCalls) }

// patience is how long a step goes on by itself while the system asks to be left
// alone, before the flow is told.
func (c connection) patience() time.Duration {
	if c.ThrottlePatience == nil {
		return config.DefaultPatience * time.Second
	}
	return time.Duration(*c.ThrottlePatience) * time.Second
}

// turn has a call wait for its turn; leave must be called. Without one there is an
// error, which may be a [later], or what the flow is told when its patience is at
// an end. Calls without a connection have a gate for each flow.
func (e *Executor) turn(ctx context.Context, s *scope, a *attempt) (leave func(), p *problem, err error) {
	key := cmp.Or(a.conn.row.ID, s.st.run.Flow)
	in, err := e.turns.enter(ctx, key, a.in.Connector, a.conn.calls())
	switch {
	case err != nil:
		return nil, nil, err
	case in.leave != nil:
		if a.conn.patience() > 0 {
			a.gate = key
		}
		if in.waited {
			p, err = e.still(ctx, s, a.conn)
		}
		if p != nil || err != nil {
			in.leave()
			return nil, p, err
		}
		return in.leave, nil, nil
	case !in.closed:
		// Others go first by the connection's own limit: the line moves, and a flood that
		// takes long to work off fails none of its runs.
		return nil, nil, &later{in.wait}
	}
	if l := s.put(a.conn, in.wait); l != nil {
		return nil, nil, l
	}
	detail := "it asked to be left alone for longer than the connection's patience"
	if !a.before {
		detail += "; nothing was sent" // Else an earlier attempt was, and nobody knows what it did.
	}
	return nil, &problem{
		Type: flow.TypeCommunication, Status: http.StatusTooManyRequests, Title: "The system takes no more calls for now", Detail: detail,
	}, nil
}

// still looks again at what a call knew before it stood in line: the flow may be
// paused, the connection suspended or changed since (invariant 1).
func (e *Executor) still(ctx context.Context, s *scope, conn connection) (*problem, error) {
	if err := e.going(ctx, s.st.run.Flow); err != nil {
		return nil, err
	}
	now, err := e.connection(ctx, s.st.run.Namespace, s.task.Call.Connection)
	if p := refusal(err); p != nil {
		return p, nil
	}
	if err != nil {
		return nil, err
	}
	if now.row.ID != conn.row.ID || !bytes.Equal(now.row.SettingsSealed, conn.row.SettingsSealed) {
		return nil, &later{askAgain}
	}
	return nil, nil
}

// refused tells whether a call ended because the system asks to be left alone, and
// is to be made again; nil when it did not, or the flow is to be told. What is
// known of an effect must allow it.
func (s *scope) refused(a *attempt, err error) *later {
	if !a.throttled || reported(err) == nil {
		return nil
	}
	return s.put(a.conn, a.e.turns.left(a.gate))
}

// maxPuts bounds the runs of which it is remembered since when their steps are put
// off; without, their patience begins anew.
const maxPuts = 4096

// put puts the step off, as long as its patience lasts: a closed gate holds no
// run for ever.
func (s *scope) put(conn connection, wait time.Duration) *later {
	e, run, now := s.e, s.st.run.ID, s.e.now()
	e.mu.Lock()
	defer e.mu.Unlock()
	steps := e.puts[run]
	if steps == nil {
		if len(e.puts) >= maxPuts {
			clear(e.puts)
		}
		steps = make(map[string]time.Time)
		e.puts[run] = steps
	}
	since, ok := steps[s.req.Key]
	if !ok {
		since = now
		steps[s.req.Key] = since
	}
	if now.Add(wait).Sub(since) > conn.patience() {
		return nil
	}
	return &later{wait}
}

// excuse takes back that the step asked again for an effect with an unknown
// outcome: waiting is no failed attempt.
func (s *scope) excuse() {
	s.st.mu.Lock()
	defer s.st.mu.Unlock()
	s.st.repeats[s.req.Key]--
}
