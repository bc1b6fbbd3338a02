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
				{Scheme: sdk.AuthBearer, Title: "Bearer token"},
				{Scheme: sdk.AuthBasic, Title: "User name and password"},
				{Scheme: sdk.AuthHeader, Title: "API key in a header"},
				{Scheme: sdk.AuthQuery, Title: "API key in the query"},
				{Scheme: sdk.AuthOAuth2, Title: "OAuth 2 client"},
				{Scheme: sdk.AuthHMAC, Title: "Signature of each request (HMAC)"},
				{Scheme: sdk.AuthSigV4, Title: "AWS Signature Version 4"},
				{Scheme: sdk.AuthMTLS, Title: "Client certificate"},
				{Scheme: sdk.AuthFree, Title: "Secrets in several headers"},
			},
			Settings: settingsSchema,
			Actions: []sdk.ActionInfo{{
				Name: "request", Title: "Send a request",
				Summary: "Sends an HTTP request and gives what came back",
				Effect:  sdk.EffectWrite, Idempotency: sdk.IdempotencyKey, Input: requestSchema,
			}, {
				Name: "test", Title: "Try the credential",
				Summary: "Reads the test address of the connection; any status of 200-299 shows that the credential works",
				Effect:  sdk.EffectRead,
			}},
			Test: "test",
		},
		Actions: map[string]sdk.Action{"request": request, "test": test},
	}
}
