package sdktest

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/tenonhq/tenon/plugins/internal/wire"
	"github.com/tenonhq/tenon/plugins/sdk"
)

// Example is an input that an action takes; it must send at least one request.
// Every action of the manifest needs one.
type Example struct {
	Action          string
	Settings, Input string
}

// patience is how long an action has to end once it was cancelled: what the
// host allows, too.
const patience = 2 * time.Second

var (
	name    = regexp.MustCompile(`^[a-z][a-z0-9-]{0,62}$`)
	version = regexp.MustCompile(`^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`)
)

// Run puts the connector through the suite.
func Run(t *testing.T, c sdk.Connector, examples ...Example) {
	t.Helper()
	t.Run("manifest", func(t *testing.T) { manifest(t, c) })
	client := serve(t, c)
	t.Run("describes itself", func(t *testing.T) { describe(t, c, client) })
	t.Run("unknown action", func(t *testing.T) {
		f := end(t, client, Example{Action: "no-such-action", Input: `{}`}, refuse).GetFault()
		if f.GetType() != sdk.FaultConfiguration {
			t.Errorf("an unknown action must be a fault of type configuration, not %q", f.GetType())
		}
	})
	for _, a := range c.Manifest.Actions {
		i := slices.IndexFunc(examples, func(e Example) bool { return e.Action == a.Name })
		if i < 0 {
			t.Errorf("action %s has no example", a.Name)
			continue
		}
		t.Run(a.Name, func(t *testing.T) { action(t, client, a, examples[i]) })
	}
}

func manifest(t *testing.T, c sdk.Connector) {
	t.Helper()
	m := c.Manifest
	if !name.MatchString(m.Name) {
		t.Errorf("the name %q must match %s", m.Name, name)
	}
	if !version.MatchString(m.Version) {
		t.Errorf("the version %q must be a semantic version", m.Version)
	}
	if m.Title == "" {
		t.Error("the title is missing")
	}
	compile(t, "settings", m.Settings)
	for _, a := range m.Auth {
		if !slices.Contains(sdk.AuthSchemes(), a.Scheme) || a.Title == "" {
			t.Errorf("the auth scheme %q must be one of %v, with a title", a.Scheme, sdk.AuthSchemes())
		}
		var fixed map[string]json.RawMessage
		if len(a.Inject) > 0 && json.Unmarshal(a.Inject, &fixed) != nil {
			t.Errorf("what the auth scheme %s fixes must be a JSON object", a.Scheme)
		}
	}
	declared := make(map[string]bool)
	for _, a := range m.Actions {
		if !name.MatchString(a.Name) || declared[a.Name] || a.Title == "" {
			t.Errorf("action %q needs a title and a name of its own that matches %s", a.Name, name)
		}
		declared[a.Name] = true
		if c.Actions[a.Name] == nil {
			t.Errorf("action %s is declared and not served", a.Name)
		}
		reads := a.Effect == sdk.EffectRead && a.Idempotency == ""
		writes := a.Effect == sdk.EffectWrite &&
			slices.Contains([]sdk.Idempotency{sdk.IdempotencyKey, sdk.IdempotencyLookup, sdk.IdempotencyNone}, a.Idempotency)
		if !reads && !writes {
			t.Errorf("action %s must be a read without, or a write with an idempotency", a.Name)
		}
		compile(t, a.Name+" input", a.Input)
		compile(t, a.Name+" output", a.Output)
	}
	if i := slices.IndexFunc(m.Actions, func(a sdk.ActionInfo) bool { return a.Name == m.Test }); m.Test != "" && (i < 0 || m.Actions[i].Effect != sdk.EffectRead) {
		t.Errorf("the test %q must be a read action of the manifest", m.Test)
	}
	for served := range c.Actions {
		if !declared[served] {
			t.Errorf("action %s is served and not declared", served)
		}
	}
}

// compile checks a schema, and gives it; nil where there is none.
func compile(t *testing.T, what string, raw json.RawMessage) *jsonschema.Schema {
	t.Helper()
	if len(raw) == 0 {
		return nil
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Errorf("the schema of %s is no JSON: %v", what, err)
		return nil
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(jsonschema.SchemeURLLoader{}) // A schema refers to nothing outside.
	if err := compiler.AddResource("tenon:schema", doc); err != nil {
		t.Errorf("the schema of %s: %v", what, err)
		return nil
	}
	s, err := compiler.Compile("tenon:schema")
	if err != nil {
		t.Errorf("the schema of %s does not compile: %v", what, err)
		return nil
	}
	return s
}

// serve serves the connector by the real protocol, in memory.
func serve(t *testing.T, c sdk.Connector) wire.ConnectorClient {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer(wire.ServerOptions()...)
	sdk.Handler(c)(server)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:connector", append(wire.DialOptions(),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return wire.NewConnectorClient(conn)
}

func describe(t *testing.T, c sdk.Connector, client wire.ConnectorClient) {
	t.Helper()
	reply, err := client.Describe(t.Context(), &wire.DescribeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	want, err := json.Marshal(c.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, reply.GetManifest()) {
		t.Error("the connector describes another manifest than its own")
	}
}

// action runs an action whose requests are refused, and one that is cancelled
// while its request is under way.
func action(t *testing.T, client wire.ConnectorClient, a sdk.ActionInfo, e Example) {
	t.Helper()
	if s := compile(t, "input", a.Input); s != nil {
		input, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(e.Input)))
		if err == nil {
			err = s.Validate(input)
		}
		if err != nil {
			t.Errorf("the example is not valid by the action's own schema: %v", err)
		}
	}
	asked := false
	f := end(t, client, e, func(ctx context.Context, ask *wire.Ask) *wire.Reply {
		asked = true
		for _, h := range ask.GetHeader() {
			if slices.Contains([]string{"Authorization", "Proxy-Authorization"}, h.GetName()) {
				t.Errorf("the action sets %s: the host adds the credential", h.GetName())
			}
		}
		return refuse(ctx, ask)
	}).GetFault()
	if !asked {
		t.Error("the action sent no request for its example")
	}
	if f == nil {
		t.Error("the action must fail when its request is refused")
	}

	if end(t, client, Example{Action: e.Action, Settings: e.Settings, Input: `"\u0000"`}, refuse).GetFault() == nil {
		t.Error("the action must fail by an input that its schema excludes")
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err := wire.RunAction(ctx, client, invoke(e), patience, func(ctx context.Context, ask *wire.Ask) *wire.Reply {
		cancel()
		<-ctx.Done()
		return refuse(ctx, ask)
	})
	if err != nil {
		t.Errorf("the action must end when it is cancelled: %v", err)
	}
}

func invoke(e Example) *wire.Invoke {
	return &wire.Invoke{Action: e.Action, Settings: []byte(e.Settings), Input: []byte(e.Input)}
}

func end(t *testing.T, client wire.ConnectorClient, e Example, answer func(context.Context, *wire.Ask) *wire.Reply) *wire.ConnectorMessage {
	t.Helper()
	last, err := wire.RunAction(t.Context(), client, invoke(e), patience, answer)
	if err != nil {
		t.Fatal(err)
	}
	return last
}

func refuse(context.Context, *wire.Ask) *wire.Reply {
	return &wire.Reply{Result: &wire.Reply_Fault{Fault: &wire.Fault{Type: sdk.FaultAuthorization, Title: "The request was refused"}}}
}
