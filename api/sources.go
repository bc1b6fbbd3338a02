package api

import (
	"context"
	"crypto/rand"
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
	ID        string            `json:"id"`
	Name      string            `json:"name"`
	Flow      string            `json:"flow" doc:"Id of the flow that its events start."`
	Verifier  string            `json:"verifier" enum:"standard-webhooks,svix,stripe,github,shopify,slack,twilio,meta,microsoft,hmac,mtls,bearer,basic"`
	Secrets   int               `json:"secrets" doc:"How many secrets are accepted now."`
	HMAC      *config.Signature `json:"hmac,omitempty"`
	MTLS      *config.MTLS      `json:"mtls,omitempty"`
	URL       string            `json:"url,omitempty"`
	Tolerance int               `json:"tolerance,omitempty"`
	Identity  *config.Identity  `json:"identity,omitempty"`
	Topics    []string          `json:"topics,omitempty" nullable:"false"`
	Order     *config.Order     `json:"order,omitempty"`
	Path      string            `json:"path" doc:"Where to post, below the address of this service."`
	State     string            `json:"state" enum:"active,suspended"`
	CreatedAt time.Time         `json:"created_at"`
}

// NewSource is a source, this once with the secrets that were generated for it.
type NewSource struct {
	Source
	Secret      string `json:"secret,omitempty" doc:"The generated secret. It is shown here only. Absent when secrets were given."`
	VerifyToken string `json:"verify_token,omitempty" doc:"For meta: the generated verify token. It is shown here only."`
}

type createSource struct {
	Body struct {
		Name        string            `json:"name" pattern:"^[a-z][a-z0-9_-]{0,62}$" patternDescription:"lower-case letters, digits, _ and -"`
		Flow        string            `json:"flow" minLength:"1" maxLength:"256" doc:"Id or name of a flow."`
		Verifier    string            `json:"verifier,omitempty" enum:"standard-webhooks,svix,stripe,github,shopify,slack,twilio,meta,microsoft,hmac,mtls,bearer,basic" default:"standard-webhooks"`
		Secrets     []string          `json:"secrets,omitempty" maxItems:"8" nullable:"false" doc:"Secrets that the sender signs with, several while it rotates. Absent, one is generated, unless the vendor makes them."`
		HMAC        *config.Signature `json:"hmac,omitempty" doc:"How the sender signs; required for the verifier hmac."`
		MTLS        *config.MTLS      `json:"mtls,omitempty" doc:"Which client certificates are taken; required for the verifier mtls."`
		URL         string            `json:"url,omitempty" maxLength:"1024" doc:"The address that the sender posts to, byte by byte; for twilio, and for an hmac that signs it."`
		Tolerance   int               `json:"tolerance,omitempty" minimum:"1" maximum:"3600" doc:"How many seconds a signed timestamp may be from now, either way; 300 when absent."`
		Identity    *config.Identity  `json:"identity,omitempty" doc:"What makes two messages the same, of which the second adds nothing; by message when absent."`
		Topics      []string          `json:"topics,omitempty" maxItems:"64" nullable:"false" doc:"For github and shopify: the values of the topic header that are taken; each is told apart from the others."`
		VerifyToken string            `json:"verify_token,omitempty" maxLength:"512" doc:"For meta: what it sends when it asks whether the source is there; one is generated when absent."`
		Order       *config.Order     `json:"order,omitempty" doc:"Where the key of an event is: events of one key run one after the other."`
	}
}

// SourcePath names a source. Exported: the framework fills in no unexported
// embedded parameters.
type SourcePath struct {
	Source string `path:"source" maxLength:"64"`
}

func (s *Server) registerSources() {
	s.registerSourceSecrets()
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
	}, access{scope: scopeNamespace, permission: SourcesRead}, func(ctx context.Context, c *caller, in *SourcePath) (*Output[Source], error) {
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
	return c.sourceOf(ctx, schema.PrefixSource, id, schema.Errorf(schema.CodeNotFound, "there is no such source"))
}

// sourceOf finds a source of one kind, a webhook's or a schedule, of the caller's
// namespace, or answers that it is missing.
func (c *caller) sourceOf(ctx context.Context, kind schema.Prefix, id string, missing error) (store.Source, error) {
	if schema.CheckID(kind, id) != nil {
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

// flowOf finds the flow that a source is to start.
func (c *caller) flowOf(ctx context.Context, idOrName string) (store.Flow, error) {
	flow, err := c.cell.Door().GetFlow(ctx, c.namespace.ID, idOrName)
	if schema.CodeOf(err) == schema.CodeNotFound {
		return flow, unknown(schema.Errorf(schema.CodeInvalid, "there is no such flow in the namespace").At("/flow").
			Advise("Deploy the flow first."))
	}
	return flow, err
}

func (c *caller) showSource(row store.Source) (Source, error) {
	var how config.Source
	if err := c.cell.openJSON(place.Source(c.org, row.ID), row.ConfigSealed, &how); err != nil {
		return Source{}, err
	}
	return Source{
		ID: row.ID, Name: row.Name, Flow: row.Flow, Verifier: row.Verifier, Secrets: accepted(how.Secrets, c.admitted),
		HMAC: how.HMAC, MTLS: how.MTLS, URL: how.URL, Tolerance: how.Tolerance, Identity: how.Identity, Topics: how.Topics,
		Order: how.Order, Path: "/v1/hooks/" + row.ID, State: row.State, CreatedAt: row.CreatedAt,
	}, nil
}

func (s *Server) createSource(ctx context.Context, c *caller, in *createSource) (*Output[NewSource], error) {
	flow, err := c.flowOf(ctx, in.Body.Flow)
	if err != nil {
		return nil, err
	}
	if in.Body.Verifier == config.VerifierMTLS && !s.config.ClientCertificates {
		return nil, schema.Errorf(schema.CodeInvalid, "this server does not ask for client certificates").At("/verifier").
			Advise("Set client-certificates where TLS ends in the API itself, or choose another verifier.")
	}
	now := s.now()
	how, generated, err := describe(in, now)
	if err != nil {
		return nil, err
	}
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
	made := NewSource{Source: shown, Secret: generated}
	if in.Body.VerifyToken == "" {
		made.VerifyToken = how.VerifyToken
	}
	return answer(made), err
}

// describe makes the description of a source, with what it generates.
func describe(in *createSource, now time.Time) (how config.Source, generated string, err error) {
	b := &in.Body
	how = config.Source{
		Verifier: b.Verifier, HMAC: b.HMAC, MTLS: b.MTLS, URL: b.URL, Tolerance: b.Tolerance, Identity: b.Identity,
		Topics: b.Topics, VerifyToken: b.VerifyToken, Order: b.Order,
	}
	values := b.Secrets
	if len(values) == 0 {
		if generated = newSecret(how); generated != "" {
			values = []string{generated}
		}
	}
	for _, v := range values {
		how.Secrets = append(how.Secrets, config.SourceSecret{ID: schema.NewID(schema.PrefixSecret), Value: v, CreatedAt: now})
	}
	if how.Verifier == config.VerifierMeta && how.VerifyToken == "" {
		how.VerifyToken = randomText()
	}
	if how.Order != nil {
		how.OrderSalt = make([]byte, 32)
		rand.Read(how.OrderSalt)
	}
	return how, generated, verify.Check(how)
}

func (s *Server) deleteSource(ctx context.Context, c *caller, in *SourcePath) (*nothing, error) {
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
