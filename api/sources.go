package api

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tenonhq/tenon/api/internal/verify"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/store"
)

// Source is where a sender posts its webhooks, for one flow.
type Source struct {
	ID        string       `json:"id"`
	Name      string       `json:"name"`
	Flow      string       `json:"flow" doc:"Id of the flow that its events start."`
	Verifier  string       `json:"verifier" enum:"standard-webhooks,hmac"`
	Secrets   int          `json:"secrets" doc:"How many secrets are accepted now."`
	HMAC      *config.HMAC `json:"hmac,omitempty"`
	Path      string       `json:"path" doc:"Where to post, below the address of this service."`
	State     string       `json:"state" enum:"active,suspended"`
	CreatedAt time.Time    `json:"created_at"`
}

// NewSource is a source, this once with the secret that was generated for it.
type NewSource struct {
	Source
	Secret string `json:"secret,omitempty" doc:"The generated secret. It is shown here only. Absent when secrets were given."`
}

type createSource struct {
	Body struct {
		Name     string       `json:"name" pattern:"^[a-z][a-z0-9_-]{0,62}$" patternDescription:"lower-case letters, digits, _ and -"`
		Flow     string       `json:"flow" minLength:"1" maxLength:"256" doc:"Id or name of a flow."`
		Verifier string       `json:"verifier,omitempty" enum:"standard-webhooks,hmac" default:"standard-webhooks"`
		Secrets  []string     `json:"secrets,omitempty" maxItems:"8" nullable:"false" doc:"Secrets that the sender signs with, several while it rotates; one is generated when absent."`
		HMAC     *config.HMAC `json:"hmac,omitempty" doc:"How the sender signs; required for the verifier hmac."`
	}
}

type sourcePath struct {
	Source string `path:"source" maxLength:"64"`
}

func (s *Server) registerSources() {
	tags := []string{"Sources"}
	handle(s, huma.Operation{
		OperationID: "create-source", Method: http.MethodPost, Path: "/v1/sources", Tags: tags,
		Summary: "Create a webhook source", DefaultStatus: http.StatusCreated,
		Description: "A source always has a verifier. A generated secret is in this answer, once.",
	}, access{scope: scopeNamespace, permission: SourcesWrite}, s.createSource)
	handle(s, huma.Operation{
		OperationID: "list-sources", Method: http.MethodGet, Path: "/v1/sources", Tags: tags, Summary: "List webhook sources",
	}, access{scope: scopeNamespace, permission: SourcesRead}, func(ctx context.Context, c *caller, _ *struct{}) (*Output[List[Source]], error) {
		rows, err := c.cell.Door().ListSources(ctx, c.namespace.ID)
		if err != nil {
			return nil, err
		}
		page := List[Source]{Items: []Source{}}
		for _, row := range rows {
			shown, err := c.showSource(row)
			if err != nil {
				return nil, err
			}
			page.Items = append(page.Items, shown)
		}
		return answer(page), nil
	})
	handle(s, huma.Operation{
		OperationID: "get-source", Method: http.MethodGet, Path: "/v1/sources/{source}", Tags: tags, Summary: "Show a webhook source",
	}, access{scope: scopeNamespace, permission: SourcesRead}, func(ctx context.Context, c *caller, in *sourcePath) (*Output[Source], error) {
		row, err := c.source(ctx, in.Source)
		if err != nil {
			return nil, err
		}
		shown, err := c.showSource(row)
		return answer(shown), err
	})
	handle(s, huma.Operation{
		OperationID: "delete-source", Method: http.MethodDelete, Path: "/v1/sources/{source}", Tags: tags,
		Summary: "Delete a webhook source", DefaultStatus: http.StatusNoContent,
	}, access{scope: scopeNamespace, permission: SourcesWrite}, s.deleteSource)
}

// source finds a source of the caller's namespace.
func (c *caller) source(ctx context.Context, id string) (store.Source, error) {
	missing := schema.Errorf(schema.CodeNotFound, "there is no such source")
	if schema.CheckID(schema.PrefixSource, id) != nil {
		return store.Source{}, missing
	}
	row, err := c.cell.Door().GetSource(ctx, id)
	if err != nil {
		return store.Source{}, err
	}
	if row.Namespace != c.namespace.ID || row.State == rowDeleted {
		return store.Source{}, missing
	}
	return row, nil
}

func (c *caller) showSource(row store.Source) (Source, error) {
	var how config.Source
	if err := c.cell.openJSON(place.Source(c.org, row.ID), row.ConfigSealed, &how); err != nil {
		return Source{}, err
	}
	return Source{
		ID: row.ID, Name: row.Name, Flow: row.Flow, Verifier: row.Verifier, Secrets: len(how.Secrets), HMAC: how.HMAC,
		Path: "/v1/hooks/" + row.ID, State: row.State, CreatedAt: row.CreatedAt,
	}, nil
}

func (s *Server) createSource(ctx context.Context, c *caller, in *createSource) (*Output[NewSource], error) {
	flow, err := c.cell.Door().GetFlow(ctx, c.namespace.ID, in.Body.Flow)
	if schema.CodeOf(err) == schema.CodeNotFound {
		return nil, schema.Errorf(schema.CodeInvalid, "there is no such flow in the namespace").At("/flow").
			Advise("Deploy the flow first.")
	}
	if err != nil {
		return nil, err
	}
	how := config.Source{Verifier: in.Body.Verifier, Secrets: in.Body.Secrets, HMAC: in.Body.HMAC}
	generated := ""
	if len(how.Secrets) == 0 {
		generated = newSecret(how.Verifier)
		how.Secrets = []string{generated}
	}
	if err := verify.Check(how); err != nil {
		return nil, err
	}
	now := s.now()
	row := store.Source{
		ID: schema.NewID(schema.PrefixSource), Namespace: c.namespace.ID, Name: in.Body.Name, Flow: flow.ID,
		Verifier: how.Verifier, State: rowActive, CreatedAt: now, UpdatedAt: now,
	}
	if row.ConfigSealed, err = c.cell.sealJSON(place.Source(c.org, row.ID), how); err != nil {
		return nil, err
	}
	draft, err := s.audit(c, "source.create", row.ID, map[string]any{"name": row.Name, "flow": flow.ID, "verifier": how.Verifier})
	if err != nil {
		return nil, err
	}
	if err := c.cell.Door().CreateSource(ctx, row, draft); err != nil {
		return nil, err
	}
	// After the source: a route without one would look like a lost source.
	route := store.Route{Source: row.ID, Organization: c.org}
	if err := s.config.Control.PutRoute(ctx, route, store.AuditDraft{Actor: c.actor, Action: "route.create", Target: row.ID}); err != nil {
		return nil, err
	}
	shown, err := c.showSource(row)
	return answer(NewSource{Source: shown, Secret: generated}), err
}

// newSecret makes a signing secret of 32 random bytes.
func newSecret(verifier string) string {
	key := make([]byte, 32)
	rand.Read(key)
	if verifier == config.VerifierHMAC {
		return base64.RawURLEncoding.EncodeToString(key)
	}
	return verify.EncodeSecret(key)
}

func (s *Server) deleteSource(ctx context.Context, c *caller, in *sourcePath) (*nothing, error) {
	row, err := c.source(ctx, in.Source)
	if err != nil {
		return nil, err
	}
	draft, err := s.audit(c, "source.delete", row.ID, map[string]any{"name": row.Name})
	if err != nil {
		return nil, err
	}
	// The source first: from then on nothing of it verifies, route or not.
	if err := c.cell.Door().SetSourceState(ctx, row.Namespace, row.ID, rowDeleted, draft); err != nil {
		return nil, err
	}
	return nil, s.config.Control.DeleteRoute(ctx, c.org, row.ID, store.AuditDraft{Actor: c.actor, Action: "route.delete", Target: row.ID})
}
