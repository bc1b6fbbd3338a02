package store

import (
	"context"
	"sync"
	"time"

	"github.com/tenonhq/tenon/schema"
)

// roomFresh is how long the size of a cell's databases is believed.
const roomFresh = time.Second

// Room bounds what the databases of a cell take on disk.
type Room struct {
	cell  *Cell
	limit int64

	mu    sync.Mutex
	size  int64
	asked time.Time
}

// Room returns the bound of the cell's databases, both sides together, in
// bytes; zero is none.
func (c *Cell) Room(limit int64) *Room { return &Room{cell: c, limit: limit} }

// Check is to be asked before something new is taken in. It refuses with
// CodeFull once the databases take the limit: then nothing has been written.
// What was taken in before goes on being carried out and recorded, so the
// databases can grow beyond the limit by what that needs.
func (r *Room) Check(ctx context.Context) error {
	if r.limit <= 0 {
		return nil
	}
	size, err := r.taken(ctx)
	if err != nil {
		return err
	}
	if size < r.limit {
		return nil
	}
	return schema.Errorf(schema.CodeFull, "the organization's databases take all the room that they have; nothing was kept").
		Advise("Ask the operator for more room, by the setting cell-disk. What was accepted before is still carried out.")
}

// taken is the size of both sides, asked for at most once in roomFresh.
func (r *Room) taken(ctx context.Context) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); now.Sub(r.asked) > roomFresh {
		size, err := r.cell.size(ctx)
		if err != nil {
			return 0, err
		}
		r.size, r.asked = size, now
	}
	return r.size, nil
}

// size is what the databases take on disk, without what they could use again.
func (c *Cell) size(ctx context.Context) (int64, error) {
	if c.door.s.Postgres {
		// Both sides are schemas of one database.
		return c.door.s.number(ctx, "SELECT pg_database_size(current_database())")
	}
	var sum int64
	for _, s := range []*side{c.door.s, c.work.s} {
		n, err := s.number(ctx, "SELECT (p.page_count - f.freelist_count) * s.page_size FROM pragma_page_count() p, pragma_freelist_count() f, pragma_page_size() s")
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// number reads one number.
func (s *side) number(ctx context.Context, query string) (n int64, err error) {
	rows, err := s.Query(ctx, query)
	if err != nil {
		return 0, schema.Errorf(schema.CodeUnavailable, "the size of the databases could not be read: %w", err)
	}
	defer func() { _ = rows.Close() }()
	if rows.Next() {
		err = rows.Scan(&n)
	}
	if rerr := rows.Err(); err == nil {
		err = rerr
	}
	if err != nil {
		return 0, schema.Errorf(schema.CodeUnavailable, "the size of the databases could not be read: %w", err)
	}
	return n, nil
}
