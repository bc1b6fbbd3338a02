package connectors

import (
	"github.com/tenonhq/tenon/connectors/http"
	"github.com/tenonhq/tenon/plugins/sdk"
)

// all are the connectors of this release.
func all() []sdk.Connector {
	return []sdk.Connector{http.Connector()}
}

// Builtin gives the manifests of the connectors that tenon-connector serves, in
// the order of their names.
func Builtin() []sdk.Manifest {
	var out []sdk.Manifest
	for _, c := range all() {
		out = append(out, c.Manifest)
	}
	return out
}

// Find gives the connector of that name.
func Find(name string) (sdk.Connector, bool) {
	for _, c := range all() {
		if c.Manifest.Name == name {
			return c, true
		}
	}
	return sdk.Connector{}, false
}
