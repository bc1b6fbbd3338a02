// Package connectors lists the connectors that come with Tenon; each has a
// folder of its own. The program tenon-connector serves one of them, in a
// sandbox, at a time.
//
// May import: plugins/sdk and the connectors below it.
package connectors
