package api

import (
	"context"
	"encoding/base64"
	"encoding/json"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/pack"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
)

// Paging is how lists are read: newest first, from a cursor.
type Paging struct {
	After string `query:"after" maxLength:"128" doc:"Cursor: next of the page before."`
	Limit int    `query:"limit" default:"50" minimum:"1" maximum:"200"`
}

func (p Paging) store() store.Page { return store.Page{After: p.After, Limit: p.Limit} }

// List is a page of items.
type List[T any] struct {
	Items []T    `json:"items" nullable:"false"`
	Next  string `json:"next,omitempty" doc:"Cursor of the next page; absent on the last one."`
}

// Output is an answer with a body.
type Output[T any] struct {
	Body T
}

// nothing is an answer without a body.
type nothing struct{}

func answer[T any](body T) *Output[T] { return &Output[T]{Body: body} }

// listed makes a page of rows, which were asked for with a limit.
func listed[R, T any](rows []R, limit int, show func(R) T, cursor func(R) string) List[T] {
	page := List[T]{Items: make([]T, len(rows))}
	for i, row := range rows {
		page.Items[i] = show(row)
	}
	if len(rows) > 0 && len(rows) == limit {
		page.Next = cursor(rows[len(rows)-1])
	}
	return page
}

// audit makes the audit entry of an act (invariant 8). What it tells beyond
// who, what and where is sealed; it never holds a secret.
func (s *Server) audit(c *caller, action, target string, detail map[string]any) (store.AuditDraft, error) {
	draft := store.AuditDraft{Actor: c.actor, Action: action, Target: target, Namespace: c.namespace.ID}
	if c.cell == nil || len(detail) == 0 {
		return draft, nil
	}
	var err error
	draft.DetailSealed, err = c.cell.sealJSON(place.Audit(c.org, store.ChainDoor), detail)
	return draft, err
}

// sealJSON seals a value for its place.
func (c *cell) sealJSON(at seal.Place, value any) ([]byte, error) {
	plain, err := encodeJSON(value)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	return c.keys.Seal(at, plain), nil
}

// sealPacked is sealJSON for payloads, which are compressed first.
func (c *cell) sealPacked(at seal.Place, value any) ([]byte, error) {
	plain, err := encodeJSON(value)
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	packed := pack.Quick(plain)
	defer clear(packed)
	return c.keys.Seal(at, packed), nil
}

func encodeJSON(value any) ([]byte, error) {
	plain, err := json.Marshal(value)
	if err != nil {
		return nil, schema.Errorf(schema.CodeInternal, "a value cannot be written: %w", err)
	}
	return plain, nil
}

// openJSON opens what sealJSON or sealPacked sealed.
func (c *cell) openJSON(at seal.Place, sealed []byte, value any) error {
	plain, err := c.keys.Open(at, sealed)
	if err != nil {
		return schema.Errorf(schema.CodeInternal, "a stored value does not open: %w", err)
	}
	defer clear(plain)
	text, err := pack.Unpack(plain)
	if err != nil {
		return schema.Errorf(schema.CodeInternal, "a stored value does not unpack: %w", err)
	}
	defer clear(text)
	if err := json.Unmarshal(text, value); err != nil {
		return schema.Errorf(schema.CodeInternal, "a stored value cannot be read")
	}
	return nil
}

// wake tells that the cell has work, after it is on disk and before it is
// acknowledged: by a mark that outlives this process, and by the bell.
func (s *Server) wake(ctx context.Context, c *cell) error {
	err := c.mark.make(ctx, s.config.Control, c.org)
	s.config.Bell(c.org)
	return err
}

// decodeBase64 takes standard base64 in its one spelling.
func decodeBase64(text string) ([]byte, error) {
	decoded, err := base64.StdEncoding.Strict().DecodeString(text)
	if err == nil && base64.StdEncoding.EncodeToString(decoded) != text {
		err = schema.Errorf(schema.CodeInvalid, "not standard base64")
	}
	return decoded, err
}
