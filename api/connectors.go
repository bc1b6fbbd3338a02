package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/dlclark/regexp2"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/tenonhq/tenon/plugins/sdk"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal"
)

// Connector is a kind of system that connections can be made to.
type Connector struct {
	Name     string            `json:"name"`
	Version  string            `json:"version"`
	Title    string            `json:"title"`
	Summary  string            `json:"summary,omitempty"`
	Auth     []ConnectorAuth   `json:"auth" nullable:"false"`
	Settings json.RawMessage   `json:"settings,omitempty" doc:"JSON Schema of a connection's settings."`
	Actions  []ConnectorAction `json:"actions" nullable:"false"`
	Test     string            `json:"test,omitempty" doc:"The action that shows whether a new credential works, before it takes the place of the old one."`
}

// ConnectorAuth is a way that a connector's systems authenticate.
type ConnectorAuth struct {
	Scheme string          `json:"scheme" enum:"bearer,header,query,basic,oauth2,hmac,sigv4,mtls,free"`
	Title  string          `json:"title,omitempty"`
	Inject json.RawMessage `json:"inject,omitempty" doc:"What the connector fixes of a connection's use.inject: these members, with these values."`
}

// ConnectorAction is something that a connector can do.
type ConnectorAction struct {
	Name        string          `json:"name"`
	Title       string          `json:"title,omitempty"`
	Summary     string          `json:"summary,omitempty"`
	Effect      string          `json:"effect" enum:"read,write"`
	Idempotency string          `json:"idempotency,omitempty" enum:"key,lookup,none"`
	Input       json.RawMessage `json:"input,omitempty" doc:"JSON Schema of the input."`
	Output      json.RawMessage `json:"output,omitempty" doc:"JSON Schema of the output."`
}

func (s *Server) registerConnectors() {
	handle(s, huma.Operation{
		OperationID: "list-connectors", Method: http.MethodGet, Path: "/v1/connectors", Tags: []string{"Connectors"},
		Summary: "List connectors",
	}, access{scope: scopeOrganization, permission: ConnectionsRead, closed: true}, func(context.Context, *caller, *struct{}) (*Output[List[Connector]], error) {
		return answer(List[Connector]{Items: s.catalog.list}), nil
	})
}

// catalog is the connectors of this server, their schemas compiled.
type catalog struct {
	list []Connector
	by   map[string]*known
}

type known struct {
	manifest sdk.Manifest
	settings *jsonschema.Schema
}

// patternTimeout bounds one match of a pattern of a schema: the value that it
// is matched with is hostile (invariant 9).
const patternTimeout = 100 * time.Millisecond

func newCatalog(manifests []sdk.Manifest) (*catalog, error) {
	c := &catalog{list: []Connector{}, by: map[string]*known{}}
	for _, m := range manifests {
		k := &known{manifest: m}
		if len(m.Settings) > 0 {
			compiled, err := compile(m.Settings)
			if err != nil {
				return nil, schema.Errorf(schema.CodeInvalid, "api: the settings schema of connector %s does not compile: %w", m.Name, err)
			}
			k.settings = compiled
		}
		c.by[m.Name] = k
		c.list = append(c.list, showConnector(m))
	}
	slices.SortFunc(c.list, func(a, b Connector) int { return strings.Compare(a.Name, b.Name) })
	return c, nil
}

func showConnector(m sdk.Manifest) Connector {
	c := Connector{
		Name: m.Name, Version: m.Version, Title: m.Title, Summary: m.Summary, Settings: m.Settings,
		Auth: []ConnectorAuth{}, Actions: []ConnectorAction{}, Test: m.Test,
	}
	for _, a := range m.Auth {
		c.Auth = append(c.Auth, ConnectorAuth{Scheme: a.Scheme, Title: a.Title, Inject: a.Inject})
	}
	for _, a := range m.Actions {
		c.Actions = append(c.Actions, ConnectorAction{
			Name: a.Name, Title: a.Title, Summary: a.Summary, Effect: string(a.Effect),
			Idempotency: string(a.Idempotency), Input: a.Input, Output: a.Output,
		})
	}
	return c
}

func compile(source json.RawMessage) (*jsonschema.Schema, error) {
	decoded, err := jsonschema.UnmarshalJSON(bytes.NewReader(source))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(jsonschema.SchemeURLLoader{})
	compiler.UseRegexpEngine(pattern)
	if err := compiler.AddResource("urn:settings", decoded); err != nil {
		return nil, err
	}
	return compiler.Compile("urn:settings")
}

// expression adapts regexp2 for jsonschema.
type expression struct{ *regexp2.Regexp }

func (e expression) MatchString(s string) bool {
	matched, err := e.Regexp.MatchString(s)
	return err == nil && matched
}

func (e expression) String() string { return e.Regexp.String() }

func pattern(source string) (jsonschema.Regexp, error) {
	compiled, err := regexp2.Compile(source, regexp2.ECMAScript)
	if err != nil {
		return nil, err
	}
	compiled.MatchTimeout = patternTimeout
	return expression{compiled}, nil
}

// check validates settings. It says where they fail and which keyword failed
// them, and quotes no value: the validator's own message would.
func (k *known) check(settings json.RawMessage) error {
	if k.settings == nil {
		return nil
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(settings))
	if err != nil {
		return schema.Errorf(schema.CodeInvalid, "the settings are not valid JSON").At("/settings")
	}
	err = k.settings.Validate(value)
	if err == nil {
		return nil
	}
	at, keyword := "/settings", "schema"
	if invalid, ok := err.(*jsonschema.ValidationError); ok { //nolint:errorlint // Validate returns it unwrapped.
		for len(invalid.Causes) > 0 {
			invalid = invalid.Causes[0]
		}
		for _, token := range invalid.InstanceLocation {
			at += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(token)
		}
		if path := invalid.ErrorKind.KeywordPath(); len(path) > 0 {
			keyword = path[len(path)-1]
		}
	}
	return schema.Errorf(schema.CodeInvalid, "the settings do not fit the connector (%s)", keyword).At(at).
		Advise("GET /v1/connectors has the JSON Schema of the settings.")
}

// takes says whether the connector's systems authenticate so.
func (k *known) takes(in seal.Injection) error {
	schemes := make([]string, 0, len(k.manifest.Auth))
	var misfit error
	for _, a := range k.manifest.Auth {
		schemes = append(schemes, a.Scheme)
		if a.Scheme != in.Scheme {
			continue
		}
		// The same scheme may be there in several forms.
		if misfit = in.Fits(a.Inject); misfit == nil {
			return nil
		}
	}
	if misfit != nil {
		return misfit
	}
	return schema.Errorf(schema.CodeInvalid, "the connector does not authenticate so").At("/inject/scheme").
		Advise("Use one of " + strings.Join(schemes, ", ") + ".")
}

// action says whether the connector can do something, in a version.
func (c *catalog) action(connector, action, version string) error {
	k, ok := c.by[connector]
	if !ok {
		return schema.Errorf(schema.CodeInvalid, "there is no such connector")
	}
	if version != "" && version != k.manifest.Version {
		return schema.Errorf(schema.CodeInvalid, "the connector has not this version").Advise("Its version is " + k.manifest.Version + ".")
	}
	for _, a := range k.manifest.Actions {
		if a.Name == action {
			return nil
		}
	}
	return schema.Errorf(schema.CodeInvalid, "the connector has no such action")
}
