package activities

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tenonhq/tenon/plugins/host"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/config"
	"github.com/tenonhq/tenon/schema/place"
	"github.com/tenonhq/tenon/schema/store"
)

// alertLimit bounds the sending of one alert.
const alertLimit = 30 * time.Second

// alertOf is an alert that a change raises.
func alertOf(kind, namespace, subject, run string) store.Alert {
	return store.Alert{ID: schema.NewID(schema.PrefixAlert), Namespace: namespace, Kind: kind, Subject: subject, Run: run}
}

// failed are the alerts of a run that failed: none, unless its namespace wants to
// be told of those.
func (e *Executor) failed(ctx context.Context, run store.Run) ([]store.Alert, error) {
	target, err := e.alertTarget(ctx, run.Namespace)
	switch code := schema.CodeOf(err); {
	case code == schema.CodeUnavailable || code == schema.CodeTimeout:
		return nil, err
	case err != nil:
		// A target that nobody can read keeps no run from ending.
		e.cfg.Logger.ErrorContext(ctx, "the namespace's target of alerts cannot be read", "namespace", run.Namespace, "error", err)
	case target == nil || !slices.Contains(target.Kinds, store.AlertFailed):
		return nil, nil
	}
	return []store.Alert{alertOf(store.AlertFailed, run.Namespace, run.Flow, run.ID)}, nil
}

// alertTarget finds where a namespace's alerts are sent; nil for nowhere.
func (e *Executor) alertTarget(ctx context.Context, namespace string) (*config.AlertTarget, error) {
	row, err := e.cfg.Cell.Door().GetAlertTarget(ctx, namespace)
	if schema.CodeOf(err) == schema.CodeNotFound {
		return nil, nil //nolint:nilnil // Nowhere.
	}
	if err != nil {
		return nil, err
	}
	plain, err := e.cfg.Data.Open(place.AlertTarget(e.cfg.Organization, namespace), row.ConfigSealed)
	if err != nil {
		return nil, err
	}
	var target config.AlertTarget
	if err := json.Unmarshal(plain, &target); err != nil {
		return nil, schema.Errorf(schema.CodeInternal, "a stored target of alerts does not parse: %w", err)
	}
	return &target, nil
}

// Tell sends an alert where its namespace wants it, through a connection's
// connector and the broker like any other request. It may arrive twice, under one
// id. heard is false when nobody is to be told of its kind; audit is what is to be
// recorded, sent or not. No error quotes an answer.
func (e *Executor) Tell(ctx context.Context, alert store.Alert) (heard bool, audit []store.AuditDraft, err error) {
	ctx, cancel := context.WithTimeout(ctx, alertLimit)
	defer cancel()
	target, err := e.alertTarget(ctx, alert.Namespace)
	if err != nil || target == nil || alert.Kind != store.AlertTest && !slices.Contains(target.Kinds, alert.Kind) {
		return false, nil, err
	}
	conn, err := e.connection(ctx, alert.Namespace, target.Connection)
	if err != nil {
		return true, nil, err
	}
	body, err := json.Marshal(e.says(alert))
	if err != nil {
		return true, nil, schema.Errorf(schema.CodeInternal, "an alert does not encode: %w", err)
	}
	at := strconv.FormatInt(e.now().Unix(), 10)
	signature, err := sign(target.Secret, alert.ID, at, body)
	if err != nil {
		return true, nil, err
	}
	input, err := json.Marshal(map[string]any{
		"method": "post", "endpoint": map[string]string{"uri": target.Path}, "body": json.RawMessage(body),
		"headers": map[string]string{"webhook-id": alert.ID, "webhook-timestamp": at, "webhook-signature": signature},
	})
	if err != nil {
		return true, nil, schema.Errorf(schema.CodeInternal, "an alert does not encode: %w", err)
	}
	a := &attempt{e: e, conn: conn, in: host.Invocation{Connector: conn.row.Connector, Action: "request", Settings: conn.Settings, Input: input}}
	_, err = a.invoke(ctx)
	if a.opened {
		audit = append(audit, store.AuditDraft{Actor: alert.ID, Action: "credential.used", Target: conn.row.ID, Namespace: alert.Namespace})
	}
	if err := a.arrived(err); err != nil {
		return true, audit, err
	}
	return true, append(audit, e.custody.draft("alert.sent", alert.ID, alert.Namespace, map[string]any{
		"kind": alert.Kind, "subject": alert.Subject, "connection": conn.row.ID, "count": alert.Count,
	})), nil
}

// SealAlertError seals why an alert told nobody: nil for no error. Details of the
// inside stay in the cell's log.
func (e *Executor) SealAlertError(alert store.Alert, err error) []byte {
	if err == nil {
		return nil
	}
	why := "the alert could not be sent"
	var told *schema.Error
	if errors.As(err, &told) && told.Code != schema.CodeInternal {
		why = told.Message
	}
	return e.cfg.Data.Seal(place.AlertError(e.cfg.Organization, alert.ID), []byte(why))
}

// arrived tells whether the last answer was a success, whatever the connector, a
// stranger, makes of it (invariant 4).
func (a *attempt) arrived(err error) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	last := 0
	if n := len(a.statuses); n > 0 {
		last = a.statuses[n-1]
	}
	switch {
	case last >= http.StatusOK && last < http.StatusMultipleChoices:
		return nil
	case last > 0:
		return schema.Errorf(schema.CodeUnavailable, "the alert was answered with status %d", last)
	case a.denied != nil:
		return a.denied
	}
	return schema.Errorf(schema.CodeUnavailable, "the alert could not be sent: %w", err)
}

// sign signs a message as Standard Webhooks 1.0.0 has it.
func sign(secret, id, at string, body []byte) (string, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return "", schema.Errorf(schema.CodeInternal, "the secret of a target of alerts does not parse")
	}
	mac := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(mac, "%s.%s.%s", id, at, body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)), nil
}

// says is what an alert says: nothing of what runs were given or gave.
func (e *Executor) says(alert store.Alert) config.AlertBody {
	b := config.AlertBody{
		Type: alert.Kind, Timestamp: alert.Raised().Format(time.RFC3339),
		Data: config.AlertData{
			Alert: alert.ID, Organization: e.cfg.Organization, Namespace: alert.Namespace, Run: alert.Run, Count: alert.Count,
		},
	}
	switch alert.Kind {
	case store.AlertUncertain:
		b.Data.Flow = alert.Subject
		b.Text = fmt.Sprintf("Tenon: of %d run(s) of flow %s it is not known whether an effect happened. A person decides: GET /v1/runs?state=uncertain, POST /v1/runs/{run}/resolve.", alert.Count, alert.Subject)
	case store.AlertFailed:
		b.Data.Flow = alert.Subject
		b.Text = fmt.Sprintf("Tenon: %d run(s) of flow %s failed. Their events are kept: GET /v1/dead-letters.", alert.Count, alert.Subject)
	case store.AlertSuspended:
		b.Data.Connection = alert.Subject
		b.Text = fmt.Sprintf("Tenon: connection %s was suspended, and nothing is sent for it. The audit log says why; enter its credential again.", alert.Subject)
	case store.AlertTest:
		b.Text = "Tenon: this is a test. Alerts arrive here."
	}
	return b
}
