package api

import (
	"context"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
)

// settingPlaintext is whether the organization takes credentials in clear.
const settingPlaintext = "plaintext_credentials"

// Settings are what an organization has set for itself.
type Settings struct {
	PlaintextCredentials bool `json:"plaintext_credentials" doc:"Whether credentials are taken in clear over TLS, too. False: only those that the client sealed."`
}

type updateSettings struct {
	Body struct {
		PlaintextCredentials *bool `json:"plaintext_credentials,omitempty"`
	}
}

func (s *Server) registerSettings() {
	tags := []string{"Organizations"}
	handle(s, huma.Operation{
		OperationID: "get-settings", Method: http.MethodGet, Path: "/v1/settings", Tags: tags, Summary: "Show the organization's settings",
	}, access{scope: scopeOrganization, permission: OrganizationRead}, func(ctx context.Context, c *caller, _ *struct{}) (*Output[Settings], error) {
		return s.settings(ctx, c)
	})
	handle(s, huma.Operation{
		OperationID: "update-settings", Method: http.MethodPatch, Path: "/v1/settings", Tags: tags, Summary: "Change the organization's settings",
	}, access{scope: scopeOrganization, permission: OrganizationWrite}, s.updateSettings)
}

func (s *Server) settings(ctx context.Context, c *caller) (*Output[Settings], error) {
	allowed, err := s.plaintextAllowed(ctx, c)
	if err != nil {
		return nil, err
	}
	return answer(Settings{PlaintextCredentials: allowed}), nil
}

func (s *Server) updateSettings(ctx context.Context, c *caller, in *updateSettings) (*Output[Settings], error) {
	if c.bound != "" {
		return nil, schema.Errorf(schema.CodeForbidden, "a key of one namespace cannot change what holds for all of them")
	}
	if wanted := in.Body.PlaintextCredentials; wanted != nil {
		if *wanted && !s.config.PlaintextCredentials {
			return nil, schema.Errorf(schema.CodeRefused, "this installation takes no credentials in clear").At("/plaintext_credentials")
		}
		draft, err := s.audit(c, "settings.update", c.org, map[string]any{settingPlaintext: *wanted})
		if err != nil {
			return nil, err
		}
		err = c.cell.Door().PutSetting(ctx, store.Setting{Name: settingPlaintext, Value: strconv.FormatBool(*wanted), UpdatedBy: c.actor, UpdatedAt: s.now()}, draft)
		if err != nil {
			return nil, err
		}
	}
	return s.settings(ctx, c)
}

// plaintextAllowed says whether the organization takes credentials in clear: the
// installation and the organization must both allow it.
func (s *Server) plaintextAllowed(ctx context.Context, c *caller) (bool, error) {
	if !s.config.PlaintextCredentials {
		return false, nil
	}
	all, err := c.cell.Door().ListSettings(ctx)
	if err != nil {
		return false, err
	}
	for _, set := range all {
		if set.Name == settingPlaintext {
			return set.Value == strconv.FormatBool(true), nil
		}
	}
	return true, nil
}
