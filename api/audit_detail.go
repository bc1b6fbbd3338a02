package api

import (
	"bytes"
	"context"
	"encoding/json"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/audit"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
)

// openDetail shows the detail of an entry of the caller's organization.
func (c *caller) openDetail(e *audit.Entry) (json.RawMessage, error) {
	return openDetail(c.cell.keys, c.org, e)
}

// openControl shows the details of the control chain to the platform. Of an
// organization that was deleted nothing opens anymore: the entry stands without.
func (s *Server) openControl(ctx context.Context) func(*audit.Entry) (json.RawMessage, error) {
	opened := map[string]seal.DataKeys{}
	return func(e *audit.Entry) (json.RawMessage, error) {
		if inClear(e) {
			return openDetail(seal.DataKeys{}, "", e)
		}
		keys, known := opened[e.Organization]
		if !known {
			cell, err := s.cells.unwrap(ctx, e.Organization)
			if schema.CodeOf(err) == schema.CodeUnavailable {
				return nil, nil
			}
			if err != nil {
				return nil, err
			}
			keys = cell.DataKeys
			opened[e.Organization] = keys
		}
		return openDetail(keys, e.Organization, e)
	}
}

// sealControl is the detail of an entry of the control chain: sealed by the keys
// of the organization that it concerns (invariant 3), or JSON where it concerns
// none. An organization that has no keys, since it is being made or deleted, has
// none either: that it was done is on the record, and is never told in clear.
func (s *Server) sealControl(ctx context.Context, organization string, detail any) ([]byte, error) {
	text, err := json.Marshal(detail)
	if err != nil {
		return nil, schema.Errorf(schema.CodeInternal, "the audit detail cannot be written: %w", err)
	}
	if organization == "" {
		return text, nil
	}
	keys, err := s.cells.unwrap(ctx, organization)
	if schema.CodeOf(err) == schema.CodeUnavailable {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return keys.DataKeys.Seal(place.Audit(organization, store.ChainControl), text), nil
}

// inClear tells whether there is nothing to open: what concerns no organization,
// and what was written before an organization's entries of this chain were sealed.
func inClear(e *audit.Entry) bool {
	return len(e.Detail) == 0 || e.Chain == store.ChainControl && bytes.HasPrefix(e.Detail, []byte("{"))
}

func openDetail(keys seal.DataKeys, organization string, e *audit.Entry) (json.RawMessage, error) {
	detail := e.Detail
	if !inClear(e) {
		var err error
		if detail, err = keys.Open(place.Audit(organization, e.Chain), e.Detail); err != nil {
			return nil, err
		}
	}
	if len(detail) > 0 && !json.Valid(detail) {
		return nil, schema.Errorf(schema.CodeInternal, "the detail of an audit entry cannot be read")
	}
	return detail, nil
}
