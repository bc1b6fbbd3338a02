package activities

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/tenonhq/tenon/activities/internal/tokens"
	"github.com/tenonhq/tenon/plugins/broker"
	"github.com/tenonhq/tenon/plugins/host"
	"github.com/tenonhq/tenon/plugins/sdk"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/crash"
	"github.com/tenonhq/tenon/schema/store"
)

// attempt is one invocation of a connector's action, with what its requests tell.
type attempt struct {
	e *Executor
	// st is nil for a test call and for an alert, which belong to no run.
	st   *runState
	conn connection
	// version is set for a test call: the version that it tests.
	version int
	in      host.Invocation
	// safeOnly: the call counts as a read by its method alone; no request of
	// another kind may leave.
	safeOnly bool
	// gate is where answers that ask for less are told, empty for nowhere.
	gate string

	// writes, and what follows from it: the effect, how it can be settled,
	// whether an earlier call may have had it, and its lane.
	writes bool
	effect store.Effect
	can    means
	begun  bool
	lane   string
	// before is begun as the ledger said it: a lookup may have found since that no
	// call before this one had it.
	before bool

	mu       sync.Mutex
	intended bool
	opened   bool
	// token is the access token that was sent last, stale the generation that
	// the system would not take any more.
	token    tokens.Access
	stale    int64
	requests int
	tally    tally
	// throttled: the last answer asks to be left alone.
	throttled bool
	// statuses are those of the answers to a call without a run, denied the first error
	// that kept a request of it from being answered.
	statuses []int
	denied   error
	// broke is an error of this side, which counts whatever the connector,
	// a stranger, makes of it.
	broke error
}

// tally counts the requests that may change something, by what became of them.
type tally struct {
	// accepted and refused were answered so that it is known what the target
	// did; open were answered, silent were not, and it is not known.
	accepted, refused, open, silent int
	// conflict: the last answer was 409.
	conflict bool
}

func (t tally) sent() bool { return t != tally{} }

// count notes an answer's status (RFC 9110, 15). 408, and an answer of 5xx, say
// nothing of what was done; of the redirects some say "do it elsewhere", the
// others may follow on what was done.
func (t *tally) count(status int) {
	t.conflict = status == http.StatusConflict
	switch {
	case status >= 200 && status < 300:
		t.accepted++
	case status == http.StatusMovedPermanently, status == http.StatusTemporaryRedirect, status == http.StatusPermanentRedirect:
		t.refused++
	case status >= 400 && status < 500 && status != http.StatusRequestTimeout:
		t.refused++
	default:
		t.open++
	}
}

func (a *attempt) invoke(ctx context.Context) (json.RawMessage, error) {
	a.in.Egress = a.egress
	out, err := a.e.cfg.Connectors.Invoke(ctx, a.in)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.broke != nil {
		return nil, a.broke
	}
	if err == nil && len(out) > maxValue {
		return nil, &sdk.Fault{Type: sdk.FaultRuntime, Title: "Too large", Detail: tooLarge}
	}
	return out, err
}

// egress is the connector's one way out.
func (a *attempt) egress(ctx context.Context, r *sdk.Request) (*sdk.Response, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.broke != nil {
		return nil, host.Abort(a.broke)
	}
	if err := a.kept(ctx); err != nil {
		a.broke = err
		return nil, host.Abort(err)
	}
	if a.safeOnly && !safe(r.Method) {
		return nil, schema.Errorf(schema.CodeRefused, "the call was taken for one that changes nothing, and the request would change something")
	}
	call := broker.Call{Connection: a.conn.row.ID, Use: a.conn.Use, MaxBody: maxResponse}
	row, trial, err := a.choose(ctx)
	if err != nil {
		return nil, a.told(a.closed(err))
	}
	if row != nil {
		call.Version, call.Opener = row.Version, opener{a, *row}
	}
	mutating := a.writes && !safe(r.Method)
	if mutating {
		if a.effect.IdempotencyKey == "" {
			a.broke = errKeyless
			return nil, host.Abort(a.broke)
		}
		call.IdempotencyKey = a.effect.IdempotencyKey
		if a.can.keyed {
			call.IdempotencyHeader = a.conn.IdempotencyHeader
		}
		if a.requests > 0 {
			call.IdempotencyKey += "-" + strconv.Itoa(a.requests)
		}
		a.requests++
		call.OnSend = func() error { return a.intend(ctx) }
	}
	resp, sent, err := a.send(ctx, call, r)
	if mutating && sent {
		if err != nil {
			a.tally.silent++
		} else {
			crash.At(crash.AnswerReceived)
			a.tally.count(resp.Status)
		}
	}
	a.throttled = err == nil && a.gate != "" && a.e.turns.answered(a.gate, resp)
	if err != nil {
		return nil, a.told(err)
	}
	if a.st == nil {
		a.statuses = append(a.statuses, resp.Status)
	}
	if trial {
		if err := a.e.custody.answered(ctx, a.conn.row, row.Version, resp.Status); err != nil {
			// The next answer shows it as well.
			a.e.cfg.Logger.WarnContext(ctx, "what a credential's first use showed could not be recorded", "connection", a.conn.row.ID, "error", err)
		}
	}
	if a.broke != nil {
		return nil, host.Abort(a.broke)
	}
	return resp, nil
}

// kept waits until the run's row is committed. What was known before a wait that took
// long is looked at again: the flow may be paused, the connection suspended or changed.
func (a *attempt) kept(ctx context.Context) error {
	if a.st == nil {
		return nil
	}
	began := time.Now()
	if err := a.st.await(ctx); err != nil {
		return err
	}
	if time.Since(began) < staleAfter {
		return nil
	}
	if err := a.e.going(ctx, a.st.run.Flow); err != nil || a.conn.row.ID == "" {
		return ours(err)
	}
	now, err := a.e.cfg.Cell.Door().GetConnection(ctx, a.st.run.Namespace, a.conn.row.ID)
	if err == nil && (now.State != a.conn.row.State || !bytes.Equal(now.SettingsSealed, a.conn.row.SettingsSealed)) {
		err = schema.Errorf(schema.CodeUnavailable, "the connection was changed while the run was being written")
	}
	return ours(err)
}

// told is what the connector is told of a request that was not answered.
func (a *attempt) told(err error) error {
	if a.st == nil && a.denied == nil {
		a.denied = err
	}
	if a.broke != nil {
		return host.Abort(a.broke)
	}
	return err
}

func (a *attempt) intend(ctx context.Context) error {
	if a.intended {
		return nil
	}
	// The connector may have taken its time to get here.
	if err := a.e.going(ctx, a.st.run.Flow); err != nil {
		a.broke = ours(err)
		return a.broke
	}
	if a.begun && a.can.harmless {
		a.e.applied(a.st, a.conn, a.effect)
	}
	if err := a.e.intend(ctx, a.st, &a.effect); err != nil {
		a.broke = ours(err)
		return a.broke
	}
	crash.At(crash.IntentKept)
	a.intended = true
	return nil
}

// used records that the credential was opened, once per attempt: in the
// transaction of the intent when there is one, else in the step's (invariant 8).
// That of a call without a run is its caller's to record.
func (a *attempt) used() {
	a.e.custody.touch(a.conn.row)
	if a.opened {
		return
	}
	a.opened = true
	if a.st == nil {
		return
	}
	a.st.mu.Lock()
	defer a.st.mu.Unlock()
	a.st.audit = append(a.st.audit, store.AuditDraft{
		Actor: a.st.run.ID, Action: "credential.used", Target: a.conn.row.ID, Namespace: a.st.run.Namespace,
	})
}

// read turns the end of an action that changes nothing into the step's.
func (a *attempt) read(out json.RawMessage, err error) (json.RawMessage, *problem, error) {
	if err == nil {
		return out, nil, nil
	}
	if p := reported(err); p != nil {
		return nil, p, nil
	}
	return nil, nil, err
}

// reported is the problem that an action's error is to its run, nil when it is
// the infrastructure's.
func reported(err error) *problem {
	var f *sdk.Fault
	if errors.As(err, &f) {
		p := fromConnector(f)
		return &p
	}
	return refusal(err)
}

// verdict is what is known of an effect once its action has ended.
type verdict int

const (
	// happened: it had its effect.
	happened verdict = iota
	// absent: it is known not to have had it.
	absent
	// open: it may have had it. The flow is told of the error; the same request
	// may be repeated with its key, and no other.
	open
	// unknown: it may have had it, and there was no answer worth telling.
	unknown
)

// judge tells what is known of the effect. reports says that the action ended
// with an output or a fault of its own, not with its process.
func (a *attempt) judge(err error) verdict {
	t := a.tally
	_, failed := errors.AsType[*sdk.Fault](err)
	reports := err == nil || failed
	switch {
	case err == nil:
		return happened // The action's own word, whatever its requests met.
	case !t.sent():
		if a.begun {
			return unknown // This call did nothing; the one before may have.
		}
		return absent
	case t.silent > 0, !reports && t.accepted+t.open > 0:
		return unknown
	case t.accepted > 0 && t.open+t.refused == 0:
		return happened // And ended in an error all the same, which is its outcome.
	case !a.can.keyed && t.open > 0:
		return unknown
	case !a.can.keyed && t.accepted > 0:
		return happened // In part: a second time would do that part twice.
	case a.begun && t.conflict && !a.can.harmless:
		return unknown // The request with the same key is still being worked on.
	case a.begun, t.open > 0, t.accepted > 0:
		// A refusal now does not tell what became of the call before.
		return open
	}
	return absent
}

// settle turns the end of an action that changes something into the step's,
// and its effect's state.
func (a *attempt) settle(ctx context.Context, s *scope, out json.RawMessage, err error) (json.RawMessage, *problem, error) {
	if errors.Is(err, errLost) {
		return nil, nil, err
	}
	if !a.intended {
		if errors.Is(err, errStopped) || a.fenced() {
			return nil, nil, errStopped
		}
		if err == nil {
			return out, nil, nil // The action found nothing to change.
		}
		if l := s.refused(a, err); l != nil {
			if a.before {
				s.excuse()
			}
			return nil, nil, l
		}
		return a.read(nil, err)
	}
	v, p := a.judge(err), (*problem)(nil)
	if err != nil {
		p = reported(err)
	}
	state, o := store.EffectDone, outcome{Output: out, Problem: p}
	if v == absent {
		state = store.EffectFailed
	}
	if a.begun && a.can.harmless {
		o.Policy = config.UncertainRepeat
	}
	if v == happened || v == absent {
		// Until it is committed, for an owner that takes the run over before.
		a.e.lanes.leave(a.lane, remains{a.effect, state, o})
	}
	if a.fenced() {
		return nil, nil, errStopped
	}
	switch v {
	case happened:
		return out, p, a.e.settleEffect(a.st, a.effect, state, o)
	case absent:
		if kept := a.e.settleEffect(a.st, a.effect, state, o); kept != nil {
			return nil, nil, kept
		}
		if p == nil {
			// Tried again by the engine; the ledger says by then that it may be.
			return nil, nil, errors.Join(err, a.e.commit(ctx, a.st, store.RunCommit{}))
		}
		if l := s.refused(a, err); l != nil {
			// Nothing of it is under way, and the ledger says so, however long this takes.
			if err := a.e.commit(ctx, a.st, store.RunCommit{}); err != nil {
				return nil, nil, err
			}
			return nil, nil, l
		}
		return nil, p, nil
	case open:
		if l := s.refused(a, err); l != nil {
			s.excuse()
			return nil, nil, l
		}
		if p != nil {
			return nil, p, nil
		}
		return nil, nil, err
	case unknown:
	}
	if !a.can.keyed && !a.can.lookup {
		return a.e.unknown(ctx, a.st, a.conn, a.effect)
	}
	// The engine asks again: the same key is sent again, or the target asked.
	return nil, nil, schema.Errorf(schema.CodeUnavailable, "it is not known yet whether effect %s happened; it is asked for again", a.effect.ID)
}

// fenced tells whether this process has dropped the state that the action began with.
func (a *attempt) fenced() bool {
	a.st.commits.Lock()
	defer a.st.commits.Unlock()
	return a.st.dead
}
