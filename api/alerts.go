package api

import (
	"context"
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/tenonhq/tenon/api/internal/verify"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/store"
)

// Alert is something that a person is to be told of.
type Alert struct {
	ID         string     `json:"id"`
	Kind       string     `json:"kind" enum:"run.uncertain,run.failed,connection.suspended,test"`
	Flow       string     `json:"flow,omitempty"`
	Connection string     `json:"connection,omitempty"`
	Run        string     `json:"run,omitempty" doc:"The first run that raised it."`
	Count      int64      `json:"count" doc:"How often it was raised: one alert of a kind and flow is sent a minute."`
	State      string     `json:"state" enum:"pending,sent,unheard,given_up" doc:"unheard: nobody is to be told of its kind; given_up: it could not be sent for three days."`
	Attempts   int        `json:"attempts"`
	Error      string     `json:"error,omitempty" doc:"Why the last attempt told nobody."`
	NextAt     *time.Time `json:"next_at,omitempty" doc:"When it is tried again."`
	CreatedAt  time.Time  `json:"created_at"`
	EndedAt    *time.Time `json:"ended_at,omitempty"`
}

// AlertTarget is where the alerts of a namespace are sent.
type AlertTarget struct {
	Connection string    `json:"connection" doc:"Id of the connection."`
	Path       string    `json:"path"`
	Kinds      []string  `json:"kinds" nullable:"false" enum:"run.uncertain,run.failed,connection.suspended"`
	UpdatedAt  time.Time `json:"updated_at"`
}

// NewAlertTarget is a target, this once with the secret of its signatures.
type NewAlertTarget struct {
	AlertTarget
	Secret string `json:"secret" doc:"What the signatures are made with. It is shown here only."`
}

type putAlertTarget struct {
	Body struct {
		Connection string   `json:"connection" minLength:"1" maxLength:"256" doc:"Id or name of a connection of the connector http."`
		Path       string   `json:"path" pattern:"^/" patternDescription:"a path, which begins with /" maxLength:"1024" doc:"Below the connection's base_url."`
		Kinds      []string `json:"kinds,omitempty" minItems:"1" maxItems:"3" uniqueItems:"true" nullable:"false" enum:"run.uncertain,run.failed,connection.suspended" doc:"run.uncertain and connection.suspended when absent."`
	}
}

func (s *Server) registerAlerts() {
	tags := []string{"Alerts"}
	read := access{scope: scopeNamespace, permission: AlertsRead}
	write := access{scope: scopeNamespace, permission: AlertsWrite}
	handle(s, huma.Operation{
		OperationID: "list-alerts", Method: http.MethodGet, Path: "/v1/alerts", Tags: tags, Summary: "List alerts, newest first",
		Description: "Kept for 90 days after they ended.",
	}, read, func(ctx context.Context, c *caller, in *Paging) (*Output[List[Alert]], error) {
		rows, err := c.cell.Work().ListAlerts(ctx, c.namespace.ID, in.store())
		if err != nil {
			return nil, err
		}
		shown := listed(rows, in.Limit, showAlert, func(a store.Alert) string { return a.ID })
		for i, row := range rows {
			if len(row.ErrorSealed) == 0 {
				continue
			}
			why, err := c.cell.keys.Open(place.AlertError(c.org, row.ID), row.ErrorSealed)
			if err != nil {
				return nil, err
			}
			shown.Items[i].Error = string(why)
		}
		return answer(shown), nil
	})
	handle(s, huma.Operation{
		OperationID: "get-alert-target", Method: http.MethodGet, Path: "/v1/alerts/target", Tags: tags, Summary: "Show where alerts are sent",
	}, read, func(ctx context.Context, c *caller, _ *struct{}) (*Output[AlertTarget], error) {
		row, err := c.cell.Door().GetAlertTarget(ctx, c.namespace.ID)
		if err != nil {
			return nil, err
		}
		var target config.AlertTarget
		if err := c.cell.openJSON(place.AlertTarget(c.org, row.Namespace), row.ConfigSealed, &target); err != nil {
			return nil, err
		}
		return answer(showTarget(target, row.UpdatedAt)), nil
	})
	handle(s, huma.Operation{
		OperationID: "put-alert-target", Method: http.MethodPut, Path: "/v1/alerts/target", Tags: tags, Summary: "Set where alerts are sent",
		Description: "An alert is a POST with a JSON body of ids, counts and a sentence (text), signed as Standard Webhooks has it. It is repeated " +
			"for three days until it is answered with success, under one webhook-id. Each call makes a new secret, which is good from then on.",
	}, write, s.putAlertTarget)
	handle(s, huma.Operation{
		OperationID: "delete-alert-target", Method: http.MethodDelete, Path: "/v1/alerts/target", Tags: tags,
		Summary: "Send alerts nowhere", DefaultStatus: http.StatusNoContent,
	}, write, func(ctx context.Context, c *caller, _ *struct{}) (*nothing, error) {
		draft, err := s.audit(c, "alert.target.delete", c.namespace.ID, nil)
		if err != nil {
			return nil, err
		}
		return nil, c.cell.Door().DeleteAlertTarget(ctx, c.namespace.ID, draft)
	})
	handle(s, huma.Operation{
		OperationID: "test-alert", Method: http.MethodPost, Path: "/v1/alerts/test", Tags: tags,
		Summary: "Send a test alert", DefaultStatus: http.StatusAccepted, Description: "What comes of it stands in the list of alerts, after a moment.",
	}, write, s.testAlert)
}

func showAlert(a store.Alert) Alert {
	shown := Alert{ID: a.ID, Kind: a.Kind, Run: a.Run, Count: a.Count, State: a.State, Attempts: a.Attempts, CreatedAt: a.Raised()}
	switch a.Kind {
	case store.AlertUncertain, store.AlertFailed:
		shown.Flow = a.Subject
	case store.AlertSuspended:
		shown.Connection = a.Subject
	}
	if at := a.Due(); a.State == store.AlertPending {
		shown.NextAt = &at
	}
	if at := a.Ended(); !at.IsZero() {
		shown.EndedAt = &at
	}
	return shown
}

func showTarget(t config.AlertTarget, at time.Time) AlertTarget {
	return AlertTarget{Connection: t.Connection, Path: t.Path, Kinds: t.Kinds, UpdatedAt: at}
}

func (s *Server) putAlertTarget(ctx context.Context, c *caller, in *putAlertTarget) (*Output[NewAlertTarget], error) {
	conn, err := c.connection(ctx, in.Body.Connection)
	if schema.CodeOf(err) == schema.CodeNotFound {
		return nil, unknown(schema.Errorf(schema.CodeInvalid, "there is no such connection in the namespace").At("/connection").
			Advise("Create the connection first."))
	}
	if err != nil {
		return nil, err
	}
	if conn.Connector != "http" {
		return nil, schema.Errorf(schema.CodeInvalid, "alerts are sent by the connector http").At("/connection").
			Advise("Make a connection of that connector to who is to be told.")
	}
	// The path is appended to the connection's base_url, and is no address.
	if u, err := url.Parse(in.Body.Path); err != nil || u.Host != "" || u.Scheme != "" || strings.Contains(in.Body.Path, "://") {
		return nil, schema.Errorf(schema.CodeInvalid, "the path is not one").At("/path").
			Advise("Give what follows the connection's base_url, such as /hooks/alerts.")
	}
	key := make([]byte, 32)
	rand.Read(key)
	target := config.AlertTarget{Connection: conn.ID, Path: in.Body.Path, Kinds: in.Body.Kinds, Secret: verify.EncodeSecret(key)}
	if len(target.Kinds) == 0 {
		target.Kinds = []string{store.AlertUncertain, store.AlertSuspended}
	}
	row := store.AlertTarget{Namespace: c.namespace.ID, UpdatedAt: s.now()}
	if row.ConfigSealed, err = c.cell.sealJSON(place.AlertTarget(c.org, row.Namespace), target); err != nil {
		return nil, err
	}
	draft, err := s.audit(c, "alert.target.set", row.Namespace, map[string]any{"connection": conn.ID, "path": target.Path, "kinds": target.Kinds})
	if err != nil {
		return nil, err
	}
	if err := c.cell.Door().PutAlertTarget(ctx, row, draft); err != nil {
		return nil, err
	}
	return answer(NewAlertTarget{AlertTarget: showTarget(target, row.UpdatedAt), Secret: target.Secret}), nil
}

func (s *Server) testAlert(ctx context.Context, c *caller, _ *struct{}) (*Output[Commanded], error) {
	if _, err := c.cell.Door().GetAlertTarget(ctx, c.namespace.ID); err != nil {
		return nil, err
	}
	row := store.Command{
		ID: schema.NewID(schema.PrefixCommand), Namespace: c.namespace.ID, Kind: config.CommandAlert, By: c.actor, CreatedAt: s.now(),
	}
	draft, err := s.audit(c, "alert.test", c.namespace.ID, map[string]any{"command": row.ID})
	if err != nil {
		return nil, err
	}
	if _, err := c.cell.Door().AddCommand(ctx, row, draft); err != nil {
		return nil, err
	}
	return answer(Commanded{Command: row.ID}), s.wake(ctx, c.cell)
}
