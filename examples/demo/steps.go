package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"syscall"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/tenonhq/tenon/schema/seal"
)

func (d *demo) connect(ctx context.Context) error {
	var c struct{ ID string }
	use := seal.Use{Hosts: []string{d.books.host}, Inject: seal.Injection{Scheme: seal.SchemeBearer}, CA: d.books.ca}
	err := d.prod.do(ctx, "POST", "/v1/connections", 201, map[string]any{
		"name": "books", "connector": "http", "settings": map[string]any{"base_url": "https://" + d.books.host}, "use": use,
		"idempotency_header": "Idempotency-Key",
	}, &c)
	if err != nil {
		return err
	}
	d.connection = c.ID
	var s struct {
		PublicKey    seal.PublicKey `json:"public_key"`
		Organization string         `json:"organization"`
		Connection   string         `json:"connection"`
		Version      int            `json:"version"`
		Use          seal.Use       `json:"use"`
	}
	if err := d.prod.do(ctx, "GET", "/v1/connections/"+c.ID+"/sealing", 200, nil, &s); err != nil {
		return err
	}
	sealed, err := seal.SealCredential(s.PublicKey, seal.Credential{
		Organization: s.Organization, Connection: s.Connection, Version: s.Version, Use: s.Use,
		Values: map[string]string{"token": d.books.token},
	})
	if err != nil {
		return err
	}
	say("%s may send its credential to %s only", c.ID, d.books.host)
	return d.prod.do(ctx, "PUT", "/v1/connections/"+c.ID+"/credential", 200, map[string]any{"sealed": sealed, "version": s.Version}, nil)
}

func order(id string) map[string]any {
	return map[string]any{
		"id": id, "vendor": "Nordholz Timber", "currency": "eur", "placed_at": "2026-11-22T09:30:00Z", "channel": "web",
		"customer": map[string]any{"name": "Ada Byron", "email": "Ada@Example.com", "street": "1 Beam Street", "city": "Oxford"},
		"lines": []map[string]any{
			{"sku": "OAK-40", "title": "Oak board 40 mm", "qty": 4, "price": 32.5},
			{"sku": "DOWEL-8", "title": "Dowel 8 mm", "qty": 100, "price": 0.12},
			{"sku": "GLUE-1", "title": "Wood glue 1 kg", "qty": 2, "price": 11.9},
		},
	}
}

// post sends a signed event and returns the status and the event's id.
func (d *demo) post(ctx context.Context, id string, body map[string]any, forge bool) (int, string, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return 0, "", err
	}
	wh, err := standardwebhooks.NewWebhook(d.secret)
	if err != nil {
		return 0, "", err
	}
	now := time.Now()
	signature, err := wh.Sign(id, now, text)
	if err != nil {
		return 0, "", err
	}
	if forge {
		text = bytes.Replace(text, []byte("Ada"), []byte("Eve"), 1)
	}
	status, answer, err := newClient(d.api, "").send(ctx, http.MethodPost, d.source, bytes.NewReader(text), http.Header{
		"Content-Type": {"application/json"}, "Webhook-Id": {id}, "Webhook-Timestamp": {strconv.FormatInt(now.Unix(), 10)}, "Webhook-Signature": {signature},
	})
	var ev struct{ Event, ID string }
	_ = json.Unmarshal(answer, &ev)
	if ev.Event == "" {
		ev.Event = ev.ID
	}
	return status, ev.Event, err
}

func (d *demo) sendEvents(ctx context.Context) error {
	first, event, err := d.post(ctx, "msg_demo_1", order("SO-1001"), false)
	if err != nil {
		return err
	}
	again, same, err := d.post(ctx, "msg_demo_1", order("SO-1001"), false)
	if err != nil {
		return err
	}
	second, other, err := d.post(ctx, "msg_demo_2", order("SO-1002"), false)
	if err != nil {
		return err
	}
	forged, _, err := d.post(ctx, "msg_demo_3", order("SO-1003"), true)
	if err != nil {
		return err
	}
	say("SO-1001          %d %s", first, event)
	say("SO-1001 again    %d %s", again, same)
	say("SO-1002          %d %s", second, other)
	say("SO-1003 forged   %d", forged)
	if first != 202 || again != 202 || second != 202 || forged != 401 || event == "" || event != same || event == other {
		return fmt.Errorf("202, 202 with the same event, 202 and 401 were promised")
	}
	return nil
}

type run struct {
	ID, Event, State, Engine string
	Output                   json.RawMessage
	Error                    json.RawMessage
	Steps                    []struct{ Name, Kind, State string }
}

// runs waits until so many runs have ended, and returns them all.
func (d *demo) runs(ctx context.Context, want int) ([]run, error) {
	var page struct{ Items []run }
	err := until(ctx, 30*time.Second, strconv.Itoa(want)+" runs end", func() (bool, error) {
		if err := d.prod.do(ctx, "GET", "/v1/runs", 200, nil, &page); err != nil {
			return false, err
		}
		ended := 0
		for _, r := range page.Items {
			switch r.State {
			case "completed", "failed", "canceled", "uncertain":
				ended++
			}
		}
		return ended >= want, nil
	})
	return page.Items, err
}

func (d *demo) showRuns(ctx context.Context) error {
	list, err := d.runs(ctx, 2)
	if err != nil {
		return err
	}
	for _, short := range list {
		var r run
		if err := d.prod.do(ctx, "GET", "/v1/runs/"+short.ID, 200, nil, &r); err != nil {
			return err
		}
		say("%s %s %s", r.ID, r.State, r.Output)
		for _, s := range r.Steps {
			say("    %-14s %-6s %s", s.Name, s.Kind, s.State)
		}
		say("    in the Temporal UI: %s", r.Engine)
		if r.State != "completed" {
			return fmt.Errorf("run %s is %s: %s", r.ID, r.State, r.Error)
		}
	}
	s, err := d.books.stats(ctx)
	if err != nil {
		return err
	}
	say("the bookkeeping has %d bills, %d of them duplicates", s.Bills, s.Duplicates)
	if len(list) != 2 || s.Bills != 2 || s.Duplicates != 0 {
		return fmt.Errorf("two runs and two bills were promised")
	}
	return nil
}

func (d *demo) killMidway(ctx context.Context) error {
	if err := d.books.stall(ctx, 1500*time.Millisecond); err != nil {
		return err
	}
	if status, _, err := d.post(ctx, "msg_demo_4", order("SO-1004"), false); err != nil || status != 202 {
		return fmt.Errorf("the event was answered %d: %w", status, err)
	}
	err := until(ctx, 10*time.Second, "the bookkeeping is being called", func() (bool, error) {
		s, err := d.books.stats(ctx)
		return s.Stalled > 0, err
	})
	if err != nil {
		return err
	}
	pid, err := cellProcess(d.organization)
	if err != nil {
		return err
	}
	killed := time.Now()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return err
	}
	say("killed worker %d while it waited for the bookkeeping's answer", pid)
	list, err := d.runs(ctx, 3)
	if err != nil {
		return err
	}
	say("the run ended %s, %.1f s after the kill", list[0].State, time.Since(killed).Seconds())
	s, err := d.books.stats(ctx)
	if err != nil {
		return err
	}
	say("the bookkeeping has %d bills, %d duplicates; it answered %d repeated request(s) with the bill it had", s.Bills, s.Duplicates, s.Repeated)
	for _, r := range list {
		if r.State != "completed" {
			return fmt.Errorf("run %s is %s", r.ID, r.State)
		}
	}
	if s.Bills != 3 || s.Duplicates != 0 {
		return fmt.Errorf("three bills, none of them twice, were promised")
	}
	return nil
}

func (d *demo) showAudit(ctx context.Context) error {
	var page struct {
		Items []struct {
			At                    time.Time
			Actor, Action, Target string
		}
	}
	if err := d.org.do(ctx, "GET", "/v1/audit?limit=200", 200, nil, &page); err != nil {
		return err
	}
	counts := map[string]int{}
	for i, e := range page.Items {
		counts[e.Action]++
		if i < 12 {
			say("%s  %-20s %s", e.At.Format("15:04:05.000"), e.Action, e.Target)
		}
	}
	say("... %d entries in all", len(page.Items))
	if counts["run.completed"] != 3 || counts["credential.used"] == 0 {
		return fmt.Errorf("three completed runs and the credential's use were promised in the trail: %v", counts)
	}
	return nil
}

func (d *demo) search(context.Context) error {
	files, found, err := searchFor(d.data, d.books.token)
	if err != nil {
		return err
	}
	if len(found) > 0 {
		return fmt.Errorf("the credential was found in %v", found)
	}
	// The search itself is tried: what is certainly there must be found.
	_, control, err := searchFor(d.data, d.organization)
	if err != nil {
		return err
	}
	if len(control) == 0 {
		return fmt.Errorf("the search finds nothing at all")
	}
	say("searched %d files under %s for it in %d encodings: not there", files, d.data, len(encodings(d.books.token)))
	return nil
}
