package keystore

import (
	"bytes"
	"context"
	"encoding/json"
	"path/filepath"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/seal/keyfile"
)

const (
	floorsSuffix = ".floors"
	// floorsLimit bounds a file of floors: some 80 bytes a connection.
	floorsLimit = 16 << 20
	// floorsVersion is the version of a file's format.
	floorsVersion = 1
)

// floors are how old the credentials of an organization may be. They hold no
// secret. They stand in the key store because it is apart from every database
// and its backups, and every host has it.
type floors struct {
	Version      int                     `json:"version"`
	Organization string                  `json:"organization"`
	Floors       map[string]config.Floor `json:"floors"`
}

// Floors are how old the credentials of an organization's connections may be,
// by connection; none where nothing is known.
func (s *Store) Floors(ctx context.Context, org string) (map[string]config.Floor, error) {
	if err := ctx.Err(); err != nil {
		return nil, schema.Errorf(schema.CodeTimeout, "the key store was not read: %w", err)
	}
	if err := schema.CheckID(schema.PrefixOrganization, org); err != nil {
		return nil, err
	}
	text, err := keyfile.ReadPrivate(s.floorsPath(org), floorsLimit)
	if schema.CodeOf(err) == schema.CodeNotFound {
		return map[string]config.Floor{}, nil
	}
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var f floors
	if err := d.Decode(&f); err != nil || f.Version != floorsVersion {
		return nil, schema.Errorf(schema.CodeInvalid, "the key store's file of how old credentials may be does not parse")
	}
	if f.Organization != org || f.Floors == nil {
		return nil, schema.Errorf(schema.CodeRefused, "the key store's file of how old credentials may be is another organization's")
	}
	return f.Floors, nil
}

// RaiseFloors takes up what is known of an organization's credentials; it is on
// disk when RaiseFloors returns. No floor goes down by it. An organization
// without keys has none: CodeNotFound.
func (s *Store) RaiseFloors(ctx context.Context, org string, known map[string]config.Floor) error {
	return s.alone(ctx, func() error {
		if _, err := s.Get(ctx, org); err != nil {
			return err
		}
		all, err := s.Floors(ctx, org)
		if err != nil {
			return err
		}
		raised := false
		for connection, f := range known {
			higher := all[connection].Max(f)
			raised = raised || higher != all[connection]
			all[connection] = higher
		}
		if !raised {
			return nil
		}
		text, err := json.Marshal(floors{Version: floorsVersion, Organization: org, Floors: all})
		if err != nil {
			return schema.Errorf(schema.CodeInternal, "how old credentials may be does not encode: %w", err)
		}
		return keyfile.Replace(s.floorsPath(org), append(text, '\n'), 0o600)
	})
}

// floorsPath is safe: org has passed CheckID.
func (s *Store) floorsPath(org string) string { return filepath.Join(s.dir, org+floorsSuffix) }
