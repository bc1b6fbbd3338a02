// Package api is the service that customers and their systems talk to: an
// OpenAPI 3.1 interface over HTTP, and the door that webhooks come in by.
//
// It writes the door side of a cell and reads both sides; it holds the API
// private key and, through it, the data keys of cells, and can seal a
// credential but never open one. What it acknowledged is on disk (invariant 6);
// the cell acts on it.
//
// A resource stands in a file of its own; operation.go and access.go decide
// who may call what, problem.go what an error looks like.
//
// It may import schema and its rooms, plugins/sdk and the catalog types of
// plugins/host; never worker, workflows, activities or connectors.
package api
