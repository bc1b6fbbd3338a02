package http

import (
	_ "embed"

	"github.com/tenonhq/tenon/plugins/sdk"
)

var (
	//go:embed settings.schema.json
	settingsSchema []byte
	//go:embed request.schema.json
	requestSchema []byte
)

// Connector is the connector of anything that speaks HTTP.
func Connector() sdk.Connector {
	return sdk.Connector{
		Manifest: sdk.Manifest{
			Name: "http", Version: "1.0.0", Title: "HTTP",
			Summary: "Requests to any system that speaks HTTP",
			Auth: []sdk.AuthScheme{
				{Scheme: "bearer", Title: "Bearer token"},
				{Scheme: "basic", Title: "User name and password"},
				{Scheme: "header", Title: "Secret in a header"},
				{Scheme: "query", Title: "Secret in the query"},
			},
			Settings: settingsSchema,
			Actions: []sdk.ActionInfo{{
				Name: "request", Title: "Send a request",
				Summary: "Sends an HTTP request and gives what came back",
				Effect:  sdk.EffectWrite, Idempotency: sdk.IdempotencyKey, Input: requestSchema,
			}},
		},
		Actions: map[string]sdk.Action{"request": request},
	}
}
