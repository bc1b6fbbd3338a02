package cli_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/tenonhq/tenon/activities/platform"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/codec"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/task"
	"github.com/tenonhq/tenon/schema/token"
	"github.com/tenonhq/tenon/worker/engine"
	platformflows "github.com/tenonhq/tenon/workflows/platform"
)

const (
	// canary is in the run's input; only who may decode sees it.
	canary    = "canary-c41d77"
	callLimit = 30 * time.Second
)

var programs tools

func TestMain(m *testing.M) {
	built, err := buildTools(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	programs = built
	os.Exit(m.Run())
}

// stage is an engine with one organization, whose worker runs.
type stage struct {
	engine *engine.Engine
	signer token.Signer
	org    string
	keys   seal.DataKeys
	own    client.Client
	codec  string

	mu   sync.Mutex
	acts []string
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

func (s *stage) mint(t *testing.T, role token.Role, namespaces ...string) string {
	t.Helper()
	text, err := s.signer.Mint(token.Claims{Subject: "test", Role: role, Namespaces: namespaces, Expires: time.Now().Add(time.Hour)})
	require.NoError(t, err)
	return text
}

func (s *stage) dial(t *testing.T, bearer string, options client.Options) client.Client {
	t.Helper()
	options.HostPort = s.engine.Frontend()
	options.Credentials = client.NewAPIKeyStaticCredentials(bearer)
	options.ConnectionOptions.TLSDisabled = true
	options.Logger = sdklog.NewStructuredLogger(discard())
	c, err := client.Dial(options)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// serveCodec is a codec endpoint as the API serves one: token, then namespace.
func (s *stage) serveCodec(w http.ResponseWriter, r *http.Request) {
	bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	claims, err := s.signer.Verifier().Verify(bearer, time.Now())
	if err != nil {
		http.Error(w, "unauthenticated", http.StatusUnauthorized)
		return
	}
	if claims.Role != token.RoleOperator || !claims.Opens(s.org) || r.Header.Get("X-Namespace") != s.org {
		http.Error(w, "forbidden", http.StatusForbidden)
		return
	}
	codec.Endpoint(codec.New(s.org, s.keys)).ServeHTTP(w, r)
}

// waiting ends with the value of the signal "more", or at "poke".
func waiting(ctx workflow.Context, _ string) (string, error) {
	var more string
	var ended bool
	workflow.Go(ctx, func(ctx workflow.Context) {
		workflow.GetSignalChannel(ctx, "more").Receive(ctx, &more)
		ended = true
	})
	workflow.Go(ctx, func(ctx workflow.Context) {
		workflow.GetSignalChannel(ctx, "poke").Receive(ctx, nil)
		ended = true
	})
	err := workflow.Await(ctx, func() bool { return ended })
	return more, err
}

// Record implements [engine.Recorder].
func (s *stage) Record(_ context.Context, a engine.Act) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acts = append(s.acts, fmt.Sprintf("%s %s %t", a.Method, a.Workflow, a.Allowed))
	return nil
}

// recorded tells whether the tools left an act of that method on a workflow.
func (s *stage) recorded(method, workflow string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.acts, method+" "+workflow+" true")
}

func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{org: schema.NewID(schema.PrefixOrganization)}
	var err error
	s.signer, err = token.NewSigner()
	require.NoError(t, err)
	key, err := seal.NewDataKey()
	require.NoError(t, err)
	s.keys = seal.NewDataKeys(key)
	endpoint := httptest.NewServer(http.HandlerFunc(s.serveCodec))
	t.Cleanup(endpoint.Close)
	s.codec = endpoint.URL + "/v1/codec"

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s.engine, err = engine.Start(ctx, engine.Config{Directory: t.TempDir(), Verifier: s.signer.Verifier(), Recorder: s, Logger: discard()})
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		assert.NoError(t, s.engine.Stop(ctx))
	})
	admin := s.dial(t, s.mint(t, token.RoleSystem), client.Options{Namespace: platformflows.Namespace})
	require.NoError(t, platform.EnsureNamespace(ctx, admin, s.org, 24*time.Hour))
	s.own = s.dial(t, s.mint(t, token.RoleCell, s.org), client.Options{
		Namespace:        s.org,
		DataConverter:    codec.DataConverter(s.org, s.keys),
		FailureConverter: codec.FailureConverter(s.org, s.keys),
	})
	w := worker.New(s.own, task.Queue, worker.Options{})
	w.RegisterWorkflowWithOptions(waiting, workflow.RegisterOptions{Name: task.Carrier})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	return s
}

// carry starts a carrier of one run.
func (s *stage) carry(t *testing.T) (carrier, run string, handle client.WorkflowRun) {
	t.Helper()
	carrier, run = schema.NewID(schema.PrefixCarrier), schema.NewID(schema.PrefixRun)
	handle, err := s.own.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: carrier, TaskQueue: task.Queue,
		TypedSearchAttributes: temporal.NewSearchAttributes(temporal.NewSearchAttributeKeyKeywordList(task.RunsAttribute).ValueSet([]string{run})),
	}, task.Carrier, canary)
	require.NoError(t, err)
	return carrier, run, handle
}

// tool is one of the two programs and how it says things.
type tool struct {
	path     string
	settings func(s *stage, bearer, codecBearer string) map[string]string
	list     func(run string) []string
	show     func(carrier string) []string
	signal   func(carrier, name, value string) []string
	cancel   func(carrier string) []string
	// sealsNothing: the tool decodes through the endpoint and does not encode.
	sealsNothing bool
}

// optional leaves out what is not given.
func optional(settings map[string]string) map[string]string {
	for name, value := range settings {
		if value == "" || value == "Bearer " {
			delete(settings, name)
		}
	}
	return settings
}

func temporalTool() tool {
	return tool{
		path: programs.temporal,
		settings: func(s *stage, bearer, codecBearer string) map[string]string {
			return optional(map[string]string{
				"TEMPORAL_ADDRESS": s.engine.Frontend(), "TEMPORAL_NAMESPACE": s.org,
				"TEMPORAL_API_KEY": bearer, "TEMPORAL_TLS": "false",
				"TEMPORAL_CODEC_ENDPOINT": s.codec, "TEMPORAL_CODEC_AUTH": "Bearer " + codecBearer,
			})
		},
		list: func(run string) []string { return []string{"workflow", "list", "--query", query(run)} },
		show: func(carrier string) []string { return []string{"workflow", "show", "--detailed", "-w", carrier} },
		signal: func(carrier, name, value string) []string {
			return []string{"workflow", "signal", "-w", carrier, "--name", name, "--input", value}
		},
		cancel: func(carrier string) []string { return []string{"workflow", "cancel", "-w", carrier} },
	}
}

func tctlTool() tool {
	return tool{
		path: programs.tctl,
		settings: func(s *stage, bearer, codecBearer string) map[string]string {
			return optional(map[string]string{
				"TEMPORAL_CLI_ADDRESS": s.engine.Frontend(), "TEMPORAL_CLI_NAMESPACE": s.org,
				"TEMPORAL_CLI_AUTH":           "Bearer " + bearer,
				"TEMPORAL_CLI_CODEC_ENDPOINT": s.codec, "TEMPORAL_CLI_CODEC_AUTH": "Bearer " + codecBearer,
			})
		},
		list: func(run string) []string { return []string{"workflow", "list", "--query", query(run)} },
		show: func(carrier string) []string {
			return []string{"workflow", "show", "--max_field_length", "5000", "-w", carrier}
		},
		signal: func(carrier, name, value string) []string {
			args := []string{"workflow", "signal", "-w", carrier, "-n", name}
			if value != "" {
				args = append(args, "-i", value)
			}
			return args
		},
		cancel:       func(carrier string) []string { return []string{"workflow", "cancel", "-w", carrier} },
		sealsNothing: true,
	}
}

func query(run string) string { return fmt.Sprintf("%s = '%s'", task.RunsAttribute, run) }

// run runs the program and returns all that it printed.
func (tl tool) run(t *testing.T, settings map[string]string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), callLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, tl.path, args...)
	home := t.TempDir()
	cmd.Env = append(environment(settings), "HOME="+home, "XDG_CONFIG_HOME="+home)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// An operator finds a run by its id, reads its history in clear, signals it
// and cancels another one.
func TestToolsServeAnOperator(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	operator := s.mint(t, token.RoleOperator, s.org)
	for name, tl := range map[string]tool{"temporal": temporalTool(), "tctl": tctlTool()} {
		t.Run(name, func(t *testing.T) {
			settings := tl.settings(s, operator, operator)
			carrier, run, handle := s.carry(t)

			require.EventuallyWithT(t, func(c *assert.CollectT) {
				listed, err := tl.run(t, settings, tl.list(run)...)
				assert.NoError(c, err, listed)
				assert.Contains(c, listed, carrier)
			}, callLimit, 100*time.Millisecond)

			shown, err := tl.run(t, settings, tl.show(carrier)...)
			require.NoError(t, err, shown)
			assert.Contains(t, shown, canary)

			answer, err := tl.run(t, settings, tl.signal(carrier, "more", `"from `+name+`"`)...)
			require.NoError(t, err, answer)
			want := "from " + name
			if tl.sealsNothing {
				// The cell drops what it did not seal, and takes the bare signal.
				want = ""
				answer, err := tl.run(t, settings, tl.signal(carrier, "poke", "")...)
				require.NoError(t, err, answer)
			}
			ctx, cancel := context.WithTimeout(t.Context(), callLimit)
			defer cancel()
			var said string
			require.NoError(t, handle.Get(ctx, &said))
			assert.Equal(t, want, said)
			assert.True(t, s.recorded("SignalWorkflowExecution", carrier))

			second, _, handle := s.carry(t)
			answer, err = tl.run(t, settings, tl.cancel(second)...)
			require.NoError(t, err, answer)
			require.Error(t, handle.Get(ctx, nil))
			require.NoError(t, ctx.Err())
			assert.True(t, s.recorded("RequestCancelWorkflowExecution", second))
			about, err := s.own.DescribeWorkflowExecution(t.Context(), second, "")
			require.NoError(t, err)
			assert.Equal(t, enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED, about.GetWorkflowExecutionInfo().GetStatus())
		})
	}
}

// Without authorization nothing is listed and nothing decodes: no token, a
// token of another organization, a cell's token at the codec endpoint.
func TestToolsServeNobodyElse(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	carrier, run, _ := s.carry(t)
	operator := s.mint(t, token.RoleOperator, s.org)
	foreign := s.mint(t, token.RoleOperator, schema.NewID(schema.PrefixOrganization))
	for name, tl := range map[string]tool{"temporal": temporalTool(), "tctl": tctlTool()} {
		for who, bearer := range map[string]string{"nobody": "", "another organization": foreign, "garbage": "garbage"} {
			t.Run(name+" for "+who, func(t *testing.T) {
				for _, args := range [][]string{tl.list(run), tl.show(carrier), tl.signal(carrier, "more", `"x"`), tl.cancel(carrier)} {
					printed, err := tl.run(t, tl.settings(s, bearer, bearer), args...)
					require.Error(t, err, "%v: %s", args, printed)
					assert.NotContains(t, printed, canary)
				}
			})
		}
		for who, bearer := range map[string]string{"nobody": "", "another organization": foreign, "the cell": s.mint(t, token.RoleCell, s.org)} {
			t.Run(name+" does not decode for "+who, func(t *testing.T) {
				printed, _ := tl.run(t, tl.settings(s, operator, bearer), tl.show(carrier)...)
				assert.NotContains(t, printed, canary)
			})
		}
	}
}
