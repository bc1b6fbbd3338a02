package api

import (
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/flow"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/store"
)

// Flow is a named sequence of immutable versions.
type Flow struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	Latest    int       `json:"latest" doc:"Number of the version that new events start."`
	State     string    `json:"state"`
	MaxRuns   int       `json:"max_concurrent_runs" doc:"How many of its runs go on at a time; 0: as many as its share of the cell."`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// FlowVersion is one immutable version of a flow.
type FlowVersion struct {
	Flow      string          `json:"flow"`
	Version   int             `json:"version"`
	Digest    string          `json:"digest" doc:"SHA-256 of the canonical document."`
	Straight  bool            `json:"straight" doc:"A run never waits for anything but calls."`
	CreatedBy string          `json:"created_by"`
	CreatedAt time.Time       `json:"created_at"`
	Document  json.RawMessage `json:"document,omitempty" doc:"The canonical document."`
}

// Deployed is the answer to a deployment.
type Deployed struct {
	Flow    Flow        `json:"flow"`
	Version FlowVersion `json:"version"`
	Created bool        `json:"created" doc:"False when the newest version is this document already."`
}

func showFlow(f store.Flow) Flow {
	return Flow{ID: f.ID, Name: f.Name, Latest: f.Latest, State: f.State, MaxRuns: f.MaxRuns, CreatedAt: f.CreatedAt, UpdatedAt: f.UpdatedAt}
}

func showVersion(v store.FlowVersion) FlowVersion {
	return FlowVersion{
		Flow: v.Flow, Version: v.Version, Digest: v.Digest, Straight: v.Straight, CreatedBy: v.CreatedBy, CreatedAt: v.CreatedAt,
	}
}

// deployFlow documents the JSON body of a deployment.
type deployFlow struct {
	Document json.RawMessage `json:"document" doc:"A document of the Open Workflow Specification 1.0.3: an object, or a string of YAML or JSON."`
}

type deployInput struct {
	ContentType string `header:"Content-Type"`
	RawBody     []byte `contentType:"application/yaml"`
}

// FlowPath names a flow. Exported: the framework fills in no unexported
// embedded parameters.
type FlowPath struct {
	Flow string `path:"flow" maxLength:"256" doc:"Id or name."`
}

// VersionPath names a version of a flow. Exported: the framework fills in no unexported
// embedded parameters.
type VersionPath struct {
	FlowPath
	Version int `path:"version" minimum:"1"`
}

func (s *Server) registerFlows() {
	tags := []string{"Flows"}
	read := access{scope: scopeNamespace, permission: FlowsRead}
	handle(s, huma.Operation{
		OperationID: "deploy-flow", Method: http.MethodPost, Path: "/v1/flows", Tags: tags,
		Summary:     "Deploy a version of a flow",
		Description: "The document's name names the flow. The same document as the newest version makes no new one.",
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"application/json": {Schema: s.schemaOf(reflect.TypeFor[deployFlow](), "DeployFlow")},
		}},
		MaxBodyBytes: s.config.Limits.Document, SkipValidateBody: true, DefaultStatus: http.StatusCreated,
	}, access{scope: scopeNamespace, permission: FlowsWrite}, s.deploy)
	handle(s, huma.Operation{
		OperationID: "list-flows", Method: http.MethodGet, Path: "/v1/flows", Tags: tags, Summary: "List flows",
	}, read, func(ctx context.Context, c *caller, _ *struct{}) (*Output[List[Flow]], error) {
		rows, err := c.cell.Door().ListFlows(ctx, c.namespace.ID)
		if err != nil {
			return nil, err
		}
		page := List[Flow]{Items: []Flow{}}
		for _, row := range rows {
			page.Items = append(page.Items, showFlow(row))
		}
		return answer(page), nil
	})
	handle(s, huma.Operation{
		OperationID: "get-flow", Method: http.MethodGet, Path: "/v1/flows/{flow}", Tags: tags, Summary: "Show a flow",
	}, read, func(ctx context.Context, c *caller, in *FlowPath) (*Output[Flow], error) {
		row, err := c.cell.Door().GetFlow(ctx, c.namespace.ID, in.Flow)
		if err != nil {
			return nil, err
		}
		return answer(showFlow(row)), nil
	})
	handle(s, huma.Operation{
		OperationID: "list-flow-versions", Method: http.MethodGet, Path: "/v1/flows/{flow}/versions", Tags: tags, Summary: "List the versions of a flow",
	}, read, func(ctx context.Context, c *caller, in *FlowPath) (*Output[List[FlowVersion]], error) {
		row, err := c.cell.Door().GetFlow(ctx, c.namespace.ID, in.Flow)
		if err != nil {
			return nil, err
		}
		versions, err := c.cell.Door().ListFlowVersions(ctx, row.ID)
		if err != nil {
			return nil, err
		}
		page := List[FlowVersion]{Items: []FlowVersion{}}
		for _, v := range versions {
			page.Items = append(page.Items, showVersion(v))
		}
		return answer(page), nil
	})
	handle(s, huma.Operation{
		OperationID: "get-flow-version", Method: http.MethodGet, Path: "/v1/flows/{flow}/versions/{version}", Tags: tags,
		Summary: "Show a version of a flow, with its document",
	}, read, func(ctx context.Context, c *caller, in *VersionPath) (*Output[FlowVersion], error) {
		row, err := c.cell.Door().GetFlow(ctx, c.namespace.ID, in.Flow)
		if err != nil {
			return nil, err
		}
		version, err := c.cell.Door().GetFlowVersion(ctx, row.ID, in.Version)
		if err != nil {
			return nil, err
		}
		shown := showVersion(version)
		err = c.cell.openJSON(place.Flow(c.org, row.ID, version.Version), version.DocumentSealed, &shown.Document)
		return answer(shown), err
	})
}

func (s *Server) deploy(ctx context.Context, c *caller, in *deployInput) (*Output[Deployed], error) {
	source, err := documentOf(in)
	if err != nil {
		return nil, err
	}
	parsed, err := flow.Parse(source)
	if err != nil {
		return nil, problems(err)
	}
	if err := s.references(ctx, c, parsed); err != nil {
		return nil, err
	}
	return s.deployParsed(ctx, c, parsed)
}

// documentOf returns the document's text: the body itself, or what the JSON
// body has under document.
func documentOf(in *deployInput) ([]byte, error) {
	kind, _, err := mime.ParseMediaType(in.ContentType)
	if err != nil && in.ContentType != "" {
		return nil, schema.Errorf(schema.CodeInvalid, "the Content-Type cannot be read")
	}
	switch kind {
	case "application/yaml", "application/x-yaml", "text/yaml":
		return in.RawBody, nil
	case "application/json", "":
	default:
		return nil, schema.Errorf(schema.CodeInvalid, "the Content-Type must be application/yaml or application/json")
	}
	var body deployFlow
	if err := json.Unmarshal(in.RawBody, &body); err != nil || len(body.Document) == 0 {
		return nil, schema.Errorf(schema.CodeInvalid, "the body must be an object with document").
			Advise("Send the document itself with Content-Type: application/yaml, or {\"document\": …}.")
	}
	var text string
	if json.Unmarshal(body.Document, &text) == nil {
		return []byte(text), nil
	}
	return body.Document, nil
}

// problems answers with everything that is wrong with a document.
func problems(err error) error {
	var all flow.Problems
	if !errors.As(err, &all) || len(all) == 0 {
		return err
	}
	p := problemOf(context.Background(), all[0])
	if len(all) > 1 {
		for _, one := range all {
			p.Errors = append(p.Errors, Violation{Detail: one.Message, Pointer: one.Pointer})
		}
	}
	return p
}

// deployAttempts is how often a deployment is sealed anew when another one of
// the same flow came in between.
const deployAttempts = 3

// deployParsed seals the document for the version it will be and keeps it.
func (s *Server) deployParsed(ctx context.Context, c *caller, d *flow.Document) (*Output[Deployed], error) {
	for attempt := 1; ; attempt++ {
		deployed, err := s.deployOnce(ctx, c, d)
		if schema.CodeOf(err) == schema.CodeConflict && attempt < deployAttempts {
			continue
		}
		return deployed, err
	}
}

func (s *Server) deployOnce(ctx context.Context, c *caller, d *flow.Document) (*Output[Deployed], error) {
	row, err := c.cell.Door().GetFlow(ctx, c.namespace.ID, d.Name)
	switch {
	case schema.CodeOf(err) == schema.CodeNotFound:
		row = store.Flow{ID: schema.NewID(schema.PrefixFlow), Namespace: c.namespace.ID, Name: d.Name}
	case err != nil:
		return nil, err
	}
	version := store.FlowVersion{
		Flow: row.ID, Version: row.Latest + 1, Namespace: c.namespace.ID, Digest: d.Digest, Straight: d.Straight,
		CreatedBy: c.actor, CreatedAt: s.now(),
		DocumentSealed: c.cell.keys.Seal(place.Flow(c.org, row.ID, row.Latest+1), d.Canonical),
	}
	draft, err := s.audit(c, "flow.deploy", row.ID, map[string]any{"name": d.Name, "version": version.Version, "digest": d.Digest})
	if err != nil {
		return nil, err
	}
	if err := c.cell.room.Check(ctx); err != nil {
		return nil, err
	}
	row, version, created, err := c.cell.Door().DeployFlow(ctx, row, version, draft)
	if err != nil {
		return nil, err
	}
	return answer(Deployed{Flow: showFlow(row), Version: showVersion(version), Created: created}), nil
}
