package store

import (
	"context"
	"sync"

	"github.com/tenonhq/tenon/schema"
)

// ErrNotOwner refuses every write of a process whose cell another process owns
// now. It is unavailable and not fenced: a run that this process carries is not
// stopped by it, since its carrier goes on in the new owner's process.
var ErrNotOwner error = schema.Errorf(schema.CodeUnavailable, "another process owns the cell now")

// ownership is the claim under which a process writes a side.
type ownership struct {
	// epoch is that of the claim; 0 for a process that needs none. It is set
	// before the side is used, and read by the committer.
	epoch int64
	lost  chan struct{}
	once  sync.Once
}

// Own makes this process the one that writes the work side, under the epoch of
// its host's claim (see [Control.ClaimCells]). From then on each of its
// transactions is refused with [ErrNotOwner] once a claim with a higher epoch
// was made; so is this call. It must be called before anything else is written.
func (w *Work) Own(ctx context.Context, epoch int64) error {
	if epoch <= 0 {
		return schema.Errorf(schema.CodeInvalid, "the epoch of a claim is a positive number")
	}
	err := w.s.w.do(ctx, "own the cell", func(t *txn) error {
		changed, _, err := t.Exec("UPDATE owner SET epoch = ? WHERE epoch <= ?", epoch, epoch)
		if err == nil && changed == 0 {
			return ErrNotOwner
		}
		return err
	})
	if err == nil {
		w.s.w.owner.epoch = epoch
	}
	return err
}

// Lost is closed once a write was refused with [ErrNotOwner].
func (w *Work) Lost() <-chan struct{} { return w.s.w.owner.lost }

// fence refuses the transaction of a process that is not the owner anymore: now is
// the owner's epoch, read under the writers' lock as the transaction begins. Whoever
// was paused for long finds out here, before it writes anything (invariant 7).
func (o *ownership) fence(now int64) error {
	if o.epoch == 0 || now == o.epoch {
		return nil
	}
	o.once.Do(func() { close(o.lost) })
	return ErrNotOwner
}
