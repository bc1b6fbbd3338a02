package activities

import (
	"context"
	"time"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/store"
)

// lineagePatience bounds the reading of what earlier runs did.
const lineagePatience = 10 * time.Second

// lineage is what the runs of earlier events did, of which this run is a replay
// with the same effects: it asks for them by the same keys, and does not do
// again what the ledger has as done (invariant 7).
type lineage struct {
	// root is the run that the keys of effects depend on.
	root    string
	effects map[string]store.Effect
}

// lineage reads what a replay has to know of; nil for an event with effects of
// its own. The relay starts the runs of a lineage one after the other.
func (e *Executor) lineage(ctx context.Context, event store.Event) (*lineage, error) {
	if event.Lineage == "" {
		return nil, nil //nolint:nilnil // No lineage is no error.
	}
	ctx, cancel := context.WithTimeout(ctx, lineagePatience)
	defer cancel()
	seqs, err := e.cfg.Cell.Door().Lineage(ctx, event)
	if err != nil {
		return nil, err
	}
	root, effects, err := e.cfg.Cell.Work().LineageEffects(ctx, seqs)
	if err != nil {
		return nil, err
	}
	if root == "" {
		// The run of the first one is not there yet, after a restore; its id is known.
		if root, err = schema.Retype(schema.PrefixRun, event.Lineage); err != nil {
			return nil, err
		}
	}
	l := &lineage{root: root, effects: make(map[string]store.Effect)}
	for _, ef := range effects {
		ef = e.read(ef)
		if ef.State == store.EffectResolved {
			o, err := e.openOutcome(ef)
			if err != nil {
				return nil, err
			}
			switch {
			case o.Policy == config.UncertainFailed:
				ef.State = store.EffectIntent // A policy took it for that, and knew nothing.
			case o.Problem != nil:
				ef.State = store.EffectFailed // A person knew that it did not happen.
			}
		}
		if known, ok := l.effects[ef.Key]; !ok || certainty(ef.State) >= certainty(known.State) {
			l.effects[ef.Key] = ef
		}
	}
	return l, nil
}

// certainty orders the states of one effect in several runs by what must not be
// overlooked.
func certainty(state string) int {
	switch state {
	case store.EffectDone, store.EffectResolved:
		return 2
	case store.EffectFailed:
		return 0
	}
	return 1
}

// prior finds an effect of the run, or of the lineage. known is false for one that
// was never asked for.
func (st *runState) prior(key, run string) (ef store.Effect, inherited, known bool) {
	if ef, ok := st.effects[key]; ok {
		return ef, false, true
	}
	if st.lineage == nil {
		return store.Effect{}, false, false
	}
	ef, ok := st.lineage.effects[key]
	ef.Run = run
	return ef, ok, ok
}
