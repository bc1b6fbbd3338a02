package database

import (
	"context"
	"database/sql/driver"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/lib/pq"
)

const (
	// crowded is what a server says that has no session left (SQLSTATE 53300).
	crowded = "53300"
	// patience is how long a session is waited for: others end theirs when they
	// have been idle.
	patience = IdleTime + 5*time.Second
)

// patient waits for a session of a server that has none left, instead of failing
// what asks for one: many cells share a server, and are rarely busy together.
type patient struct{ driver.Connector }

// Connect implements driver.Connector.
func (p patient) Connect(ctx context.Context) (driver.Conn, error) {
	began := time.Now()
	for pause := 25 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		conn, err := p.Connector.Connect(ctx)
		var told *pq.Error
		if err == nil || !errors.As(err, &told) || told.Code != crowded || time.Since(began) > patience {
			return conn, err
		}
		wait := time.NewTimer(pause/2 + rand.N(pause)) //nolint:gosec // Only so that not all come back at once.
		select {
		case <-ctx.Done():
			wait.Stop()
			return nil, err
		case <-wait.C:
		}
	}
}
