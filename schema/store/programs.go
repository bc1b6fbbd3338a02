package store

import "github.com/tenonhq/tenon/schema"

// program is what the runs of one version of a flow have in common. It stands on the
// work side, too, since a run goes on by the document that it began with.
type program struct {
	namespace, flow, digest string
	version                 int64
	straight                bool
}

func newPrograms(all *dictionaries) *dictionary[program] {
	return newDictionary(all,
		"SELECT program FROM programs WHERE flow = ? AND flow_version = ? AND digest = ? AND namespace = ? AND straight = ?",
		"INSERT INTO programs (flow, flow_version, digest, namespace, straight) VALUES (?, ?, ?, ?, ?)",
		func(p program) []any { return []any{p.flow, p.version, p.digest, p.namespace, p.straight} })
}

func (r Run) program() program {
	return program{namespace: r.Namespace, flow: r.Flow, digest: r.Digest, version: int64(r.FlowVersion), straight: r.Straight}
}

// keptEvent is what a run keeps of its event's id: nothing if its own follows from it.
func (r Run) keptEvent() string {
	if of, err := schema.Retype(schema.PrefixEvent, r.ID); err == nil && of == r.Event {
		return ""
	}
	return r.Event
}

// eventOf is the id of a run's event, of what was kept.
func eventOf(run, kept string) (string, error) {
	if kept != "" {
		return kept, nil
	}
	return schema.Retype(schema.PrefixEvent, run)
}
