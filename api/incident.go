package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/store"
)

// Revoked is what was revoked at once, and what is left to do elsewhere.
type Revoked struct {
	Organization string    `json:"organization"`
	At           time.Time `json:"at" doc:"Operators' tokens made by then are good for nothing, within a second everywhere."`
	Keys         []string  `json:"keys" nullable:"false" doc:"Ids of the API keys that were revoked now."`
	Credentials  []string  `json:"credentials" nullable:"false" doc:"Ids of the connections whose credentials were destroyed now."`
	Flows        []string  `json:"flows" nullable:"false" doc:"Ids of the flows that were paused now."`
	Sources      []string  `json:"sources" nullable:"false" doc:"Ids of the webhook sources that were suspended now."`
	Schedules    []string  `json:"schedules" nullable:"false" doc:"Ids of the schedules that were suspended now."`
	Rotate       []Rotate  `json:"rotate" nullable:"false" doc:"What the other systems still know, and must be replaced there."`
}

// Rotate is one secret that another system knows too.
type Rotate struct {
	Kind      string    `json:"kind" enum:"connection,source,alerts" doc:"connection: a credential of ours there; source: a secret that its sender signs with; alerts: one that ours are signed with."`
	ID        string    `json:"id"`
	Namespace string    `json:"namespace" doc:"Name of the namespace."`
	Name      string    `json:"name"`
	Connector string    `json:"connector,omitempty"`
	Hosts     []string  `json:"hosts,omitempty" doc:"Where the credential could be sent."`
	SavedBy   string    `json:"saved_by,omitempty" doc:"Who entered the credential."`
	SavedAt   time.Time `json:"saved_at"`
}

// OrganizationPath names an organization. Exported: the framework fills in no
// unexported embedded parameters.
type OrganizationPath struct {
	Organization string `path:"organization" maxLength:"64"`
}

func (s *Server) registerIncident() {
	handle(s, huma.Operation{
		OperationID: "revoke-everything", Method: http.MethodPost, Path: "/v1/organizations/{organization}/revoke-everything",
		Tags: []string{"Organizations"}, Summary: "Revoke everything of an organization",
		Description: "For an incident: revokes its API keys (the asking one too, when it is one of them), operators' tokens and sessions, " +
			"destroys its credentials, pauses its flows and suspends its sources and schedules. Runs stop before their next call. " +
			"It does not need the organization's cell to run, and may be repeated. Answers with what must be replaced at the other systems.",
	}, access{scope: scopeAccount, permission: OrganizationWrite}, s.revokeEverything)
}

// settleAfter is how long a request that was let in before the keys were
// revoked may take until its act is on disk: the cell is looked at once more
// then. A request that takes longer proves again that its key is good.
const settleAfter = 250 * time.Millisecond

// revocationPatience bounds the whole of it.
const revocationPatience = time.Minute

func (s *Server) revokeEverything(ctx context.Context, c *caller, in *OrganizationPath) (*Output[Revoked], error) {
	if c.bound != "" {
		return nil, schema.Errorf(schema.CodeForbidden, "a key of one namespace cannot revoke what belongs to all of them")
	}
	if err := c.owns(in.Organization); err != nil {
		return nil, err
	}
	// The asking key may be revoked with the first act: who hangs up then cannot ask
	// again, so what was begun is ended.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), revocationPatience)
	defer cancel()
	// What lets somebody in goes first: nothing new is begun behind it.
	at := s.now()
	keys, err := s.config.Control.RevokeAccess(ctx, in.Organization, at,
		store.AuditDraft{Actor: c.actor, Action: "organization.revoke_everything", Target: in.Organization})
	if err != nil {
		return nil, err
	}
	opened, release, err := s.cells.acquire(ctx, in.Organization)
	if err != nil {
		return nil, schema.Errorf(schema.CodeOf(err), "keys and tokens are revoked, and nothing else yet: the organization's cell cannot be opened: %w", err).
			Advise("Nothing runs in a cell whose databases are not those that were signed, and no credential opens. Otherwise repeat the call.")
	}
	defer release()
	on := &caller{actor: c.actor, org: in.Organization, cell: opened}
	stopped, err := s.stopEverything(ctx, on)
	if err != nil {
		return nil, err
	}
	if err := s.wake(ctx, opened); err != nil {
		return nil, err
	}
	settled := time.NewTimer(settleAfter)
	defer settled.Stop()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-settled.C:
	}
	late, err := s.stopEverything(ctx, on)
	if err != nil {
		return nil, err
	}
	rotate, err := on.rotations(ctx)
	if err != nil {
		return nil, err
	}
	return answer(Revoked{
		Organization: in.Organization, At: at, Keys: listOf(keys), Rotate: rotate,
		Credentials: listOf(stopped.Credentials, late.Credentials),
		Flows:       listOf(stopped.Flows, late.Flows), Sources: listOf(stopped.Sources, late.Sources),
		Schedules: listOf(stopped.Schedules, late.Schedules),
	}), nil
}

// listOf joins lists into one that is never null.
func listOf(lists ...[]string) []string {
	out := []string{}
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}

func (s *Server) stopEverything(ctx context.Context, on *caller) (store.Stopped, error) {
	draft, err := s.audit(on, "organization.revoke_everything", on.org, nil)
	if err != nil {
		return store.Stopped{}, err
	}
	return on.cell.Door().StopEverything(ctx, draft, func(row store.Connection) (store.Revocation, error) {
		return s.revocation(on, row)
	})
}

// rotations lists what the other systems know: the credential of every
// connection that ever had one, and every source's secrets.
func (c *caller) rotations(ctx context.Context) ([]Rotate, error) {
	out := []Rotate{}
	latest, err := c.cell.Door().LatestCredentials(ctx, "")
	if err != nil {
		return nil, err
	}
	saved := make(map[string]store.Credential, len(latest))
	for _, k := range latest {
		saved[k.Connection] = k
	}
	namespaces, err := c.cell.Door().ListNamespaces(ctx)
	if err != nil {
		return nil, err
	}
	for _, ns := range namespaces {
		connections, err := c.cell.Door().ListConnections(ctx, ns.ID)
		if err != nil {
			return nil, err
		}
		for _, row := range connections {
			k, ok := saved[row.ID]
			if !ok {
				continue
			}
			setup, err := c.setup(row)
			if err != nil {
				return nil, err
			}
			out = append(out, Rotate{
				Kind: "connection", ID: row.ID, Namespace: ns.Name, Name: row.Name, Connector: row.Connector,
				Hosts: setup.Use.Hosts, SavedBy: k.CreatedBy, SavedAt: k.CreatedAt,
			})
		}
		sources, err := c.cell.Door().ListSources(ctx, ns.ID)
		if err != nil {
			return nil, err
		}
		for _, row := range sources {
			out = append(out, Rotate{Kind: "source", ID: row.ID, Namespace: ns.Name, Name: row.Name, SavedAt: row.CreatedAt})
		}
		target, err := c.cell.Door().GetAlertTarget(ctx, ns.ID)
		switch {
		case schema.CodeOf(err) == schema.CodeNotFound:
		case err != nil:
			return nil, err
		default:
			out = append(out, Rotate{Kind: "alerts", ID: ns.ID, Namespace: ns.Name, Name: "alerts", SavedAt: target.UpdatedAt})
		}
	}
	return out, nil
}

// revocation is what is recorded, and what the cell is told, of a connection
// whose credential ends.
func (s *Server) revocation(c *caller, row store.Connection) (store.Revocation, error) {
	command, err := s.tell(c, row.Namespace, config.CredentialCommand{
		Connection: row.ID, Act: config.CredentialRevoked, Version: row.CredentialVersion,
	})
	if err != nil {
		return store.Revocation{}, err
	}
	draft, err := s.audit(c, "credential.revoke", row.ID, map[string]any{"version": row.CredentialVersion})
	draft.Namespace = row.Namespace
	return store.Revocation{Connection: row.ID, Told: command, Audit: draft}, err
}
