package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
)

// Key is an API key without its secret, which nobody can read back.
type Key struct {
	ID           string     `json:"id"`
	Organization string     `json:"organization,omitempty" doc:"Absent for a platform key."`
	Namespace    string     `json:"namespace,omitempty" doc:"The one namespace that the key is bound to."`
	Name         string     `json:"name"`
	Permissions  []string   `json:"permissions" nullable:"false"`
	CreatedAt    time.Time  `json:"created_at"`
	CreatedBy    string     `json:"created_by"`
	ExpiresAt    *time.Time `json:"expires_at,omitempty"`
	RevokedAt    *time.Time `json:"revoked_at,omitempty"`
	LastUsedAt   *time.Time `json:"last_used_at,omitempty"`
}

func showKey(k store.Key) Key {
	return Key{
		ID: k.ID, Organization: k.Organization, Namespace: k.Namespace, Name: k.Name, Permissions: k.Permissions,
		CreatedAt: k.CreatedAt, CreatedBy: k.CreatedBy, ExpiresAt: k.ExpiresAt, RevokedAt: k.RevokedAt, LastUsedAt: k.LastUsedAt,
	}
}

// NewKey is an API key, this once with its text.
type NewKey struct {
	Key
	Text string `json:"key" doc:"The key. It is shown here only: keep it."`
}

type createKey struct {
	Body struct {
		Organization string     `json:"organization,omitempty" maxLength:"64" doc:"For platform keys: whose key to make; absent makes a platform key. For organization keys: their own, or absent."`
		Namespace    string     `json:"namespace,omitempty" maxLength:"64" doc:"Binds the key to one namespace, by id or name."`
		Name         string     `json:"name" minLength:"1" maxLength:"200"`
		Permissions  []string   `json:"permissions" minItems:"1" maxItems:"64" nullable:"false" doc:"resource:verb, resource:* or *; none that the asking key does not hold."`
		ExpiresAt    *time.Time `json:"expires_at,omitempty"`
	}
}

type keyPath struct {
	Key string `path:"key" maxLength:"64"`
}

func (s *Server) registerKeys() {
	tags := []string{"Keys"}
	handle(s, huma.Operation{
		OperationID: "create-key", Method: http.MethodPost, Path: "/v1/keys", Tags: tags,
		Summary: "Create an API key", DefaultStatus: http.StatusCreated,
		Description: "The answer holds the key itself, once.",
	}, access{scope: scopeAccount, permission: KeysWrite}, s.createKey)
	handle(s, huma.Operation{
		OperationID: "list-keys", Method: http.MethodGet, Path: "/v1/keys", Tags: tags, Summary: "List API keys",
	}, access{scope: scopeAccount, permission: KeysRead}, s.listKeys)
	handle(s, huma.Operation{
		OperationID: "revoke-key", Method: http.MethodDelete, Path: "/v1/keys/{key}", Tags: tags,
		Summary: "Revoke an API key", DefaultStatus: http.StatusNoContent,
	}, access{scope: scopeAccount, permission: KeysWrite}, s.revokeKey)
}

func (s *Server) createKey(ctx context.Context, c *caller, in *createKey) (*Output[NewKey], error) {
	org := in.Body.Organization
	if org == "" {
		org = c.org
	}
	if org != "" {
		if err := c.owns(org); err != nil {
			return nil, err
		}
		o, err := s.config.Control.GetOrganization(ctx, org)
		if err == nil && o.State == store.OrganizationDeleting {
			err = schema.Errorf(schema.CodeNotFound, "there is no such organization")
		}
		if err != nil {
			return nil, err
		}
	}
	if err := checkPermissions(in.Body.Permissions); err != nil {
		return nil, err
	}
	if org == c.org && !covers(c.permissions, in.Body.Permissions) {
		return nil, schema.Errorf(schema.CodeForbidden, "a key cannot grant a permission that it does not hold").At("/permissions")
	}
	now := s.now()
	if in.Body.ExpiresAt != nil && !in.Body.ExpiresAt.After(now) {
		return nil, schema.Errorf(schema.CodeInvalid, "the key would have expired already").At("/expires_at")
	}
	namespace, err := s.bind(ctx, c, org, in.Body.Namespace)
	if err != nil {
		return nil, err
	}
	id, text, hash := newKey()
	defer text.Wipe()
	key := store.Key{
		ID: id, Organization: org, Namespace: namespace, Name: in.Body.Name, Hash: hash,
		Permissions: in.Body.Permissions, CreatedAt: now, CreatedBy: c.actor, ExpiresAt: in.Body.ExpiresAt,
	}
	draft := store.AuditDraft{Actor: c.actor, Action: "key.create", Target: id, Namespace: namespace}
	detail := map[string]any{"permissions": key.Permissions, "expires_at": key.ExpiresAt}
	if draft.DetailSealed, err = s.sealControl(ctx, org, detail); err != nil {
		return nil, err
	}
	if err := s.config.Control.CreateKey(ctx, key, draft); err != nil {
		return nil, err
	}
	return answer(NewKey{Key: showKey(key), Text: string(text.Reveal())}), nil
}

// bind resolves the namespace of a new key. A bound key makes keys of its own
// namespace only.
func (s *Server) bind(ctx context.Context, c *caller, org, wanted string) (string, error) {
	if wanted == "" {
		return c.bound, nil
	}
	if org == "" {
		return "", schema.Errorf(schema.CodeInvalid, "a platform key has no namespace").At("/namespace")
	}
	opened, release, err := s.cells.acquire(ctx, org)
	if err != nil {
		return "", err
	}
	defer release()
	ns, err := opened.Door().GetNamespace(ctx, wanted)
	if schema.CodeOf(err) == schema.CodeNotFound || (err == nil && c.bound != "" && ns.ID != c.bound) {
		return "", unknown(schema.Errorf(schema.CodeInvalid, "there is no such namespace").At("/namespace"))
	}
	return ns.ID, err
}

func (s *Server) listKeys(ctx context.Context, c *caller, in *struct {
	Organization string `query:"organization" maxLength:"64" doc:"For platform keys: whose keys to list; absent lists platform keys."`
},
) (*Output[List[Key]], error) {
	org := c.org
	if in.Organization != "" {
		if err := c.owns(in.Organization); err != nil {
			return nil, err
		}
		org = in.Organization
	}
	rows, err := s.config.Control.ListKeys(ctx, org)
	if err != nil {
		return nil, err
	}
	page := List[Key]{Items: []Key{}}
	for _, row := range rows {
		if c.bound == "" || row.Namespace == c.bound {
			page.Items = append(page.Items, showKey(row))
		}
	}
	return answer(page), nil
}

func (s *Server) revokeKey(ctx context.Context, c *caller, in *keyPath) (*nothing, error) {
	missing := schema.Errorf(schema.CodeNotFound, "there is no such key")
	if schema.CheckID(schema.PrefixKey, in.Key) != nil {
		return nil, missing
	}
	key, err := s.config.Control.GetKey(ctx, in.Key)
	if err != nil {
		return nil, err
	}
	if !c.platform() && (key.Organization != c.org || (c.bound != "" && key.Namespace != c.bound)) {
		return nil, missing
	}
	return nil, s.config.Control.RevokeKey(ctx, key.Organization, key.ID, s.now(),
		store.AuditDraft{Actor: c.actor, Action: "key.revoke", Target: key.ID, Namespace: key.Namespace})
}
