// Package http is the connector of anything that speaks HTTP: the "call: http"
// of flow documents.
//
// Its action request takes the arguments of an HTTP call of the Open
// Workflow Specification: method, endpoint (an address, or an object with one),
// headers, query, body, output, redirect.
//
// The other, test, reads the connection's test_path below its base_url and shows
// by a status of 200-299 that the credential works.
//
// # Addresses
//
// An endpoint that is no absolute address is a path below the connection's
// base_url. Where a request may go, and with what credential, is not this
// package's business: the host decides.
//
// # Bodies
//
// A body is sent as JSON, unless the headers name another Content-Type: then
// text is sent as it is, and for application/x-www-form-urlencoded an object
// becomes a form.
//
// # Outputs
//
// "content" (the default) is the decoded content: JSON as JSON, text as a
// string, anything else in base64; null when there is none. "raw" is the content
// in base64. "response" is the response: request (method, uri, headers),
// statusCode, headers (by lower-case name) and content.
//
// # Failures
//
// A status outside 200-299 (200-399 with redirect) is a fault of type
// communication with that status, and a bounded part of the answer as detail.
// Redirects are not followed: where one leads is not where the connection is
// bound to.
//
// May import: the standard library and plugins/sdk.
package http
