package store

import (
	"context"
	"sync"
	"time"

	"github.com/tenonhq/tenon/schema/config"
)

// Intake is what the webhook door needs to know of a message's source, read at
// once: the source, its flow, and the digest of the flow's newest version. Config is what
// was opened of the source.
type Intake struct {
	Source Source
	Config config.Source
	Flow   Flow
	Digest string

	// tag is what the cell's intakes had as it was read: it changes with each change of what
	// one reads of a source, a flow or a version.
	tag int64
}

const selectIntake = `SELECT s.id, s.namespace, s.name, s.verifier, s.config_sealed, s.state,
f.id, f.namespace, f.name, f.latest, f.state, v.digest, (SELECT tag FROM intakes)
FROM sources s JOIN flows f ON f.id = s.flow JOIN flow_versions v ON v.flow = f.id AND v.version = f.latest WHERE s.id = ?`

func scanIntake(row scanner) (Intake, error) {
	var i Intake
	s, f := &i.Source, &i.Flow
	err := row.Scan(&s.ID, &s.Namespace, &s.Name, &s.Verifier, &s.ConfigSealed, &s.State,
		&f.ID, &f.Namespace, &f.Name, &f.Latest, &f.State, &i.Digest, &i.tag)
	s.Flow = f.ID
	return i, err
}

const (
	// remembering is how long what was read last is remembered: secrets of sources are
	// in memory for not much longer than messages come in.
	remembering = time.Second
	// mostIntakes bounds how many are remembered.
	mostIntakes = 1024
)

// intakes reads what is needed for messages, and remembers it for a moment.
type intakes struct {
	reads reads[Intake]

	mu   sync.Mutex
	last map[string]remembered
}

type remembered struct {
	intake Intake
	ends   *time.Timer
}

// Remember keeps what was found for a message for a second: whatever else comes for its
// source meanwhile does not prolong that. It is for messages that were accepted, so that
// nobody fills the memory who cannot have one accepted.
func (d *Door) Remember(i Intake) {
	r, source := &d.intakes, i.Source.ID
	i.Source.ConfigSealed = nil
	r.mu.Lock()
	defer r.mu.Unlock()
	before, ok := r.last[source]
	switch {
	case ok && before.intake.Same(i):
		return
	case ok:
		before.ends.Stop()
	case len(r.last) >= mostIntakes:
		return
	case r.last == nil:
		r.last = make(map[string]remembered)
	}
	tag := i.tag
	r.last[source] = remembered{intake: i, ends: time.AfterFunc(remembering, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.last[source].intake.tag == tag {
			delete(r.last, source)
		}
	})}
}

// Remembered is what [Door.Remember] was given a moment ago, if it was. It may have changed
// since: nothing may follow from it but [Door.AcceptMessage] with it. It must not be changed.
func (d *Door) Remembered(source string) (Intake, bool) {
	d.intakes.mu.Lock()
	defer d.intakes.mu.Unlock()
	found, ok := d.intakes.last[source]
	return found.intake, ok
}

// Same tells whether nothing changed between two reads for the same source.
func (i Intake) Same(as Intake) bool { return i.tag == as.tag && i.Source.ID == as.Source.ID }

// Intake finds what is needed for a message to the source, of any namespace: the
// webhook door knows no more than the id. open opens the source's configuration. Messages
// that come together share a read, and the value: it must not be changed, and is gone with
// them unless it is remembered. Times are left out.
func (d *Door) Intake(ctx context.Context, source string, open func(Source) (config.Source, error)) (Intake, error) {
	return d.intakes.reads.get(ctx, source, func(ctx context.Context) (Intake, error) {
		rows, err := d.s.Query(ctx, selectIntake, source)
		i, err := single("find the source", rows, err, scanIntake)
		if err != nil {
			return Intake{}, err
		}
		i.Config, err = open(i.Source)
		return i, err
	})
}
