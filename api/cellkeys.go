package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/keystore"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store"
)

// Rotation is the replacement of one kind of key of an organization's cell.
type Rotation struct {
	ID          string    `json:"id" example:"rot_01k0000000e008000000000000"`
	Kind        string    `json:"kind" enum:"data,credential"`
	State       string    `json:"state" enum:"requested,prepared,switched,done" doc:"requested; prepared: the next key opens; switched: it seals, and what the former one sealed is sealed anew; done: the former one is destroyed."`
	WaitsFor    string    `json:"waits_for,omitempty" doc:"Why it does not go on yet."`
	RequestedBy string    `json:"requested_by"`
	RequestedAt time.Time `json:"requested_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

func showRotation(r store.Rotation) Rotation {
	return Rotation{
		ID: r.ID, Kind: r.Kind, State: r.State, WaitsFor: r.WaitsFor,
		RequestedBy: r.RequestedBy, RequestedAt: r.RequestedAt, UpdatedAt: r.UpdatedAt,
	}
}

// CellKey is one key of a cell: its id, which is no secret, and what is under it.
type CellKey struct {
	ID    string `json:"id" doc:"As it stands in the header of what the key sealed."`
	Kind  string `json:"kind" enum:"data,credential,audit,token,unknown" doc:"token: derived from a credential pair; unknown: not in the key store, so nothing under it opens."`
	State string `json:"state" enum:"current,next,older,retiring,none"`
	// Sealed counts ciphertexts.
	Sealed int      `json:"sealed" doc:"How many ciphertexts of the databases are under it."`
	Where  []Sealed `json:"where" nullable:"false"`
}

// Sealed counts the ciphertexts of one column under one key.
type Sealed struct {
	Side   string `json:"side" enum:"door,work,keystore"`
	Table  string `json:"table"`
	Column string `json:"column"`
	Rows   int    `json:"rows"`
}

// CellKeys is the report on the keys of a cell.
type CellKeys struct {
	Organization string     `json:"organization"`
	Keys         []CellKey  `json:"keys" nullable:"false"`
	Wrapped      []Wrapped  `json:"wrapped" nullable:"false"`
	Rotations    []Rotation `json:"rotations" nullable:"false" doc:"Newest first."`
	Broken       int        `json:"broken" doc:"Ciphertexts that do not open, under whatever key."`
}

// Wrapped counts the entries of the key store that one of the platform's pairs opens.
type Wrapped struct {
	Pair string `json:"pair" enum:"root,api"`
	Key  string `json:"key" doc:"Id of the pair."`
	Rows int    `json:"rows"`
}

type rotateKeys struct {
	OrganizationPath
	Body struct {
		Kind string `json:"kind" enum:"data,credential" doc:"data: the data key; credential: the pair that credentials are sealed to."`
	}
}

func (s *Server) registerCellKeys() {
	tags := []string{"Cell keys"}
	handle(s, huma.Operation{
		OperationID: "rotate-cell-keys", Method: http.MethodPost, Path: "/v1/organizations/{organization}/cell-keys/rotations", Tags: tags,
		Summary: "Replace a key of the organization's cell", DefaultStatus: http.StatusAccepted,
		Description: "Online: new values are sealed with the next key, old ones open and are sealed anew in the background; " +
			"once nothing is left under the former key, it is destroyed. One at a time.",
	}, access{scope: scopeAccount, permission: OrganizationWrite}, s.rotateCellKeys)
	handle(s, huma.Operation{
		OperationID: "get-cell-keys", Method: http.MethodGet, Path: "/v1/organizations/{organization}/cell-keys", Tags: tags,
		Summary:     "What is sealed under which key",
		Description: "Counted from the key ids in the ciphertexts of every sealed column of the cell's databases. It reads all of them.",
	}, access{scope: scopeAccount, permission: OrganizationRead}, s.getCellKeys)
}

// ownsKeys refuses a key of one namespace, too: the cell's keys are of all of them.
func (c *caller) ownsKeys(org string) error {
	if c.bound != "" {
		org = ""
	}
	return c.owns(org)
}

func (s *Server) rotateCellKeys(ctx context.Context, c *caller, in *rotateKeys) (*Output[Rotation], error) {
	if err := c.ownsKeys(in.Organization); err != nil {
		return nil, err
	}
	if err := s.cells.ready(ctx, in.Organization); err != nil {
		return nil, err
	}
	now := s.now()
	r := store.Rotation{
		ID: schema.NewID(schema.PrefixRotation), Organization: in.Organization, Kind: in.Body.Kind, State: store.RotationRequested,
		RequestedBy: c.actor, RequestedAt: now, UpdatedAt: now,
	}
	err := s.config.Control.RequestRotation(ctx, r, store.AuditDraft{Actor: c.actor, Action: "key.rotation_requested", Target: r.ID})
	if schema.CodeOf(err) == schema.CodeConflict {
		return nil, schema.Errorf(schema.CodeConflict, "a key of the organization's cell is being replaced").
			Advise("Wait until that rotation is done; GET …/cell-keys says what it waits for.")
	}
	if err != nil {
		return nil, err
	}
	return answer(showRotation(r)), nil
}

func (s *Server) getCellKeys(ctx context.Context, c *caller, in *OrganizationPath) (*Output[CellKeys], error) {
	if err := c.ownsKeys(in.Organization); err != nil {
		return nil, err
	}
	cell, release, err := s.cells.acquire(ctx, in.Organization)
	if err != nil {
		return nil, err
	}
	defer release()
	entry, err := s.config.Keys.Get(ctx, in.Organization)
	if err != nil {
		return nil, err
	}
	rotations, err := s.config.Control.ListRotations(ctx, in.Organization, 20)
	if err != nil {
		return nil, err
	}
	report := newKeyReport(entry)
	if err := report.count(ctx, cell); err != nil {
		return nil, err
	}
	out := CellKeys{Organization: in.Organization, Keys: report.list(), Wrapped: []Wrapped{}, Rotations: []Rotation{}, Broken: report.broken}
	for _, side := range []keystore.Side{keystore.SideRoot, keystore.SideAPI} {
		for _, id := range sortedKeys(entry.Under(side)) {
			out.Wrapped = append(out.Wrapped, Wrapped{Pair: string(side), Key: id.String(), Rows: entry.Under(side)[id]})
		}
	}
	for _, r := range rotations {
		out.Rotations = append(out.Rotations, showRotation(r))
	}
	return answer(out), nil
}

// keyState says where a key of the key store stands.
func keyState(i int, state string) string {
	switch {
	case state != "":
		return state
	case i == 0:
		return "current"
	default:
		return "older"
	}
}

// sealedTo is the id of the pair that a credential is sealed to: below the outer
// layer, which is all that opens here (invariant 1).
func (c *cell) sealedTo(row store.Credential) (seal.KeyID, error) {
	inner, err := c.keys.Open(place.Credential(c.org, row.Connection, row.Version), row.Sealed)
	if err != nil {
		return seal.KeyID{}, err
	}
	id, _, err := seal.Split(seal.SuiteCredential, inner)
	return id, err
}
