package worker

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/tenonhq/tenon/activities"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal"
)

const (
	// Settle is how long after new keys were learned the former ones still seal:
	// what was begun under them is on disk by then, or refused.
	Settle = 30 * time.Second
	// resealAgain is the pause before the cell looks again for what the API has
	// not taken over yet, or after a failure.
	resealAgain = 2 * time.Second
)

// open parses the keys and overwrites what they came in.
func (k *Keys) open() ([]seal.PrivateKey, seal.DataKeys, error) {
	defer k.Clear()
	var private []seal.PrivateKey
	for _, raw := range k.Private {
		p, err := seal.ParsePrivateKey(raw)
		if err != nil {
			return nil, seal.DataKeys{}, err
		}
		private = append(private, p)
	}
	data, err := parseDataKeys(k.Data)
	if err != nil {
		return nil, seal.DataKeys{}, err
	}
	log, err := parseDataKeys(k.Audit)
	if err != nil {
		return nil, seal.DataKeys{}, err
	}
	if len(private) == 0 || len(data) == 0 {
		return nil, seal.DataKeys{}, schema.Errorf(schema.CodeInvalid, "the host handed over no keys")
	}
	set := seal.NewDataKeys(data[0], data[1:]...)
	if len(log) > 0 {
		set = set.WithAudit(log[0], log[1:]...)
	}
	k.known = k.known[:0]
	for _, p := range private {
		k.known = append(k.known, p.Public().ID())
	}
	for _, d := range data {
		k.known = append(k.known, d.ID())
	}
	return private, set, nil
}

func parseDataKeys(list [][]byte) ([]seal.DataKey, error) {
	out := make([]seal.DataKey, 0, len(list))
	for _, raw := range list {
		k, err := seal.ParseDataKey(raw)
		if err != nil {
			return nil, err
		}
		out = append(out, k)
	}
	return out, nil
}

// rotation follows the replacement of the cell's keys: it takes up new ones, and
// seals anew what retiring ones sealed.
type rotation struct {
	executor *activities.Executor
	logger   *slog.Logger
	settle   time.Duration
	changed  chan Keys
	// pending: the keys that were handed over last ask for something that is not
	// done. A cell that slept now would begin it anew each time that it wakes.
	pending atomic.Bool
}

// asks tells whether there is anything to do about the keys.
func (k *Keys) asks() bool { return k.Changing || len(k.Retiring)+len(k.RetiringPairs) > 0 }

// newRotation begins with the keys of the boot, which are in use already.
func newRotation(x *activities.Executor, keys Keys, logger *slog.Logger) *rotation {
	r := &rotation{executor: x, logger: logger, settle: Settle, changed: make(chan Keys, 1)}
	r.pending.Store(keys.asks())
	r.changed <- keys
	return r
}

// adopt takes up the keys that the host hands over while the cell runs.
func (r *rotation) adopt(keys *Keys) error {
	private, data, err := keys.open()
	if err != nil {
		return err
	}
	r.executor.Adopt(private, data)
	select {
	case <-r.changed: // Nobody looked at those before.
	default:
	}
	r.pending.Store(keys.asks())
	r.changed <- *keys
	return nil
}

// run does what the keys ask for until the context ends.
func (r *rotation) run(ctx context.Context) {
	var keys Keys
	wait := time.NewTimer(0)
	defer wait.Stop()
	<-wait.C
	acknowledged := true
	for {
		select {
		case <-ctx.Done():
			return
		case keys = <-r.changed:
			r.pending.Store(keys.asks())
			acknowledged = !keys.Changing
			if acknowledged && len(keys.Retiring)+len(keys.RetiringPairs) == 0 {
				continue
			}
			wait.Reset(0)
			if len(keys.Retiring)+len(keys.RetiringPairs) > 0 {
				r.logger.InfoContext(ctx, "values are sealed anew under new keys", "after", r.settle)
			}
		case <-wait.C:
			if !acknowledged {
				if err := r.executor.Acknowledge(ctx, keys.known); err != nil {
					r.logger.WarnContext(ctx, "new keys could not be acknowledged; it is tried again", "error", err)
					wait.Reset(resealAgain)
					continue
				}
				acknowledged = true
				wait.Reset(r.settle)
				continue
			}
			if len(keys.Retiring)+len(keys.RetiringPairs) == 0 {
				r.done()
				continue
			}
			clean, err := r.executor.Reseal(ctx, keys.Retiring, keys.RetiringPairs)
			switch {
			case err != nil && ctx.Err() == nil:
				r.logger.WarnContext(ctx, "values could not be sealed anew; it is tried again", "error", err)
				wait.Reset(resealAgain)
			case err == nil && !clean:
				wait.Reset(resealAgain)
			case err == nil:
				r.done()
				r.logger.InfoContext(ctx, "nothing is left under the former keys on the cell's side")
			}
		}
	}
}

// done says that nothing is left to do, unless other keys came meanwhile.
func (r *rotation) done() {
	if len(r.changed) == 0 {
		r.pending.Store(false)
	}
}
