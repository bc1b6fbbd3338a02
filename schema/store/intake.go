package store

import (
	"context"

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
}

const selectIntake = `SELECT s.id, s.namespace, s.name, s.verifier, s.config_sealed, s.state,
f.id, f.namespace, f.name, f.latest, f.state, v.digest
FROM sources s JOIN flows f ON f.id = s.flow JOIN flow_versions v ON v.flow = f.id AND v.version = f.latest WHERE s.id = ?`

func scanIntake(row scanner) (Intake, error) {
	var i Intake
	s, f := &i.Source, &i.Flow
	err := row.Scan(&s.ID, &s.Namespace, &s.Name, &s.Verifier, &s.ConfigSealed, &s.State,
		&f.ID, &f.Namespace, &f.Name, &f.Latest, &f.State, &i.Digest)
	s.Flow = f.ID
	return i, err
}

// Intake finds what is needed for a message to the source, of any namespace: the
// webhook door knows no more than the id. open opens the source's configuration. Messages
// that come together share a read, and the value: it must not be changed, and is gone with
// them. Times are left out.
func (d *Door) Intake(ctx context.Context, source string, open func(Source) (config.Source, error)) (Intake, error) {
	return d.intakes.get(ctx, source, func(ctx context.Context) (Intake, error) {
		rows, err := d.s.Query(ctx, selectIntake, source)
		i, err := single("find the source", rows, err, scanIntake)
		if err != nil {
			return Intake{}, err
		}
		if i.Config, err = open(i.Source); err != nil {
			return Intake{}, err
		}
		return i, nil
	})
}
