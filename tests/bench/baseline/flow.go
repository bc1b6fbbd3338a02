package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/workflow"
)

// Order is what the shop sends.
type Order struct {
	ID       string    `json:"id"`
	Vendor   string    `json:"vendor"`
	Currency string    `json:"currency"`
	Placed   time.Time `json:"placed_at"`
	Channel  string    `json:"channel"`
	Customer struct {
		Name   string `json:"name"`
		Email  string `json:"email"`
		Street string `json:"street"`
		City   string `json:"city"`
	} `json:"customer"`
	Lines []struct {
		SKU      string  `json:"sku"`
		Title    string  `json:"title"`
		Quantity int     `json:"qty"`
		Price    float64 `json:"price"`
	} `json:"lines"`
}

// Line is a line of a bill.
type Line struct {
	SKU         string `json:"sku"`
	Description string `json:"description"`
	Quantity    int    `json:"quantity"`
	UnitPrice   int64  `json:"unit_price_cents"`
}

// Bill is what the bookkeeper takes.
type Bill struct {
	Order      string `json:"order"`
	Supplier   string `json:"supplier"`
	Buyer      string `json:"buyer"`
	Email      string `json:"email"`
	Currency   string `json:"currency"`
	OrderedOn  string `json:"ordered_on"`
	CostCenter string `json:"cost_center"`
	Address    string `json:"address"`
	Note       string `json:"note"`
	Lines      []Line `json:"lines"`
}

func orderToBill(ctx workflow.Context, in Order) (string, error) {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	var b *Books
	var supplier, number string
	if err := workflow.ExecuteActivity(ctx, b.FindSupplier, in.Vendor).Get(ctx, &supplier); err != nil {
		return "", err
	}
	var bill Bill
	if err := workflow.ExecuteActivity(ctx, b.MapOrder, in, supplier).Get(ctx, &bill); err != nil {
		return "", err
	}
	err := workflow.ExecuteActivity(ctx, b.CreateBill, bill).Get(ctx, &number)
	return number, err
}

// Books are the activities.
type Books struct {
	http        *http.Client
	target, key string
}

func newBooks(s settings) (*Books, error) {
	pem, err := os.ReadFile(s.ca)
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(s.key)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return &Books{target: s.target, key: strings.TrimSpace(string(key)), http: &http.Client{
		Timeout: time.Minute,
		Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, MaxIdleConnsPerHost: 64,
		},
	}}, nil
}

// FindSupplier looks the supplier up.
func (b *Books) FindSupplier(ctx context.Context, name string) (string, error) {
	var found struct{ Suppliers []struct{ ID string } }
	if err := b.call(ctx, http.MethodGet, "/suppliers?name="+url.QueryEscape(name), nil, "", &found); err != nil {
		return "", err
	}
	if len(found.Suppliers) == 0 {
		return "", fmt.Errorf("no supplier %s", name)
	}
	return found.Suppliers[0].ID, nil
}

// MapOrder makes the bill's fields of the order's.
func (b *Books) MapOrder(_ context.Context, in Order, supplier string) (Bill, error) {
	out := Bill{
		Order: in.ID, Supplier: supplier, Buyer: in.Customer.Name, Email: strings.ToLower(in.Customer.Email),
		Currency: strings.ToUpper(in.Currency), OrderedOn: in.Placed.Format(time.DateOnly), CostCenter: "shop-" + in.Channel,
		Address: in.Customer.Street + ", " + in.Customer.City, Note: "Order " + in.ID,
	}
	for _, l := range in.Lines {
		out.Lines = append(out.Lines, Line{SKU: l.SKU, Description: l.Title, Quantity: l.Quantity, UnitPrice: int64(math.Round(l.Price * 100))})
	}
	return out, nil
}

// CreateBill creates the bill, once for each workflow.
func (b *Books) CreateBill(ctx context.Context, bill Bill) (string, error) {
	body, err := json.Marshal(bill)
	if err != nil {
		return "", err
	}
	var made struct{ Number string }
	err = b.call(ctx, http.MethodPost, "/bills", body, activity.GetInfo(ctx).WorkflowExecution.ID, &made)
	return made.Number, err
}

func (b *Books) call(ctx context.Context, method, path string, body []byte, idempotency string, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, b.target+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+b.key)
	req.Header.Set("Content-Type", "application/json")
	if idempotency != "" {
		req.Header.Set("Idempotency-Key", idempotency)
	}
	resp, err := b.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("%s %s answered %d: %s", method, path, resp.StatusCode, text)
	}
	return json.Unmarshal(text, out)
}
