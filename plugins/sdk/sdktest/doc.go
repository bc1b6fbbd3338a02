// Package sdktest is the acceptance suite for authors of connectors: a
// connector that passes it can be installed.
//
//	func TestConnector(t *testing.T) {
//		sdktest.Run(t, myconnector.Connector(), sdktest.Example{Action: "list", Input: `{}`})
//	}
//
// It speaks to the connector by the real protocol, over gRPC in memory.
//
// May import: plugins/sdk, plugins/internal/wire, a JSON Schema library, testing.
package sdktest
