package engine_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/tenonhq/tenon/activities/platform"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/codec"
	"github.com/tenonhq/tenon/schema/seal"
	"github.com/tenonhq/tenon/schema/store/storetest"
	"github.com/tenonhq/tenon/schema/token"
	"github.com/tenonhq/tenon/worker/engine"
	platformflows "github.com/tenonhq/tenon/workflows/platform"
)

// retention is the shortest that the server takes.
const retention = 24 * time.Hour

// bench is one real engine that the tests of this package share; each test
// works in namespaces of its own.
type bench struct {
	engine *engine.Engine
	signer token.Signer
	codec  *codecServer
	record *acts
}

// acts is a record in memory. It fails for the organizations that are lost.
type acts struct {
	mu     sync.Mutex
	all    []engine.Act
	lost   map[string]bool
	failed int
}

// Record implements [engine.Recorder].
func (a *acts) Record(_ context.Context, act engine.Act) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lost[act.Organization] {
		a.failed++
		return errors.New("the record is not to be had")
	}
	a.all = append(a.all, act)
	return nil
}

// of lists the allowed acts of the organization: method, namespace, workflow.
func (a *acts) of(organization string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []string
	for _, act := range a.all {
		if act.Organization == organization && act.Allowed {
			out = append(out, fmt.Sprintf("%s %s %s", act.Method, act.Namespace, act.Workflow))
		}
	}
	return out
}

// refused counts the refused calls of the organization by their method.
func (a *acts) refused(organization string) map[string]int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := map[string]int64{}
	for _, act := range a.all {
		if act.Organization == organization && !act.Allowed {
			out[act.Method] += act.Count
		}
	}
	return out
}

// awaits waits until exactly these refused calls of the organization are recorded.
func (a *acts) awaits(t *testing.T, organization string, want map[string]int64) {
	t.Helper()
	require.EventuallyWithT(t, func(t *assert.CollectT) { assert.Equal(t, want, a.refused(organization)) }, 20*time.Second, 5*time.Millisecond)
}

func (a *acts) lose(organization string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.lost == nil {
		a.lost = map[string]bool{}
	}
	a.lost[organization] = true
}

func (a *acts) find(organization string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.lost, organization)
}

// failures counts what could not be recorded.
func (a *acts) failures() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.failed
}

var shared bench

func TestMain(m *testing.M) {
	os.Exit(runMain(m))
}

func runMain(m *testing.M) int {
	directory, err := os.MkdirTemp("", "tenon-engine")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(directory) }()
	signer, err := token.NewSigner()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	endpoint := newCodecServer(signer.Verifier())
	defer endpoint.server.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	began := time.Now()
	record := &acts{}
	running, err := engine.Start(ctx, engine.Config{
		Recorder:      record,
		Directory:     directory,
		UI:            "127.0.0.1:0",
		Verifier:      signer.Verifier(),
		CodecEndpoint: endpoint.server.URL + "/v1/codec",
		Logger:        quiet(),
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Fprintf(os.Stderr, "engine started in %s\n", time.Since(began).Round(time.Millisecond))
	shared = bench{engine: running, signer: signer, codec: endpoint, record: record}
	code := m.Run()
	stopping, cancelStop := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancelStop()
	if err := running.Stop(stopping); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// onBoth runs a test on the shared engine, whose state is on SQLite, and on one of
// its own on PostgreSQL.
func onBoth(t *testing.T, test func(t *testing.T, b bench)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		test(t, shared)
	})
	t.Run("PostgreSQL", func(t *testing.T) {
		t.Parallel()
		b := shared
		b.record = &acts{}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var err error
		b.engine, err = engine.Start(ctx, engine.Config{
			Recorder: b.record, Directory: t.TempDir(), Verifier: b.signer.Verifier(), Logger: quiet(),
			PostgresURL: storetest.Postgres(t).URL("postgres"), DatabasePrefix: "t" + strings.ToLower(rand.Text()) + "_",
		})
		require.NoError(t, err)
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 20*time.Second)
			defer cancel()
			require.NoError(t, b.engine.Stop(ctx))
		})
		test(t, b)
	})
}

// quiet logs errors only; TENON_TEST_LOG=1 shows everything.
func quiet() *slog.Logger {
	level := slog.LevelError + 1
	if os.Getenv("TENON_TEST_LOG") != "" {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

// mint makes a token of the engine's own key.
func mint(t *testing.T, signer token.Signer, role token.Role, namespaces ...string) string {
	t.Helper()
	text, err := signer.Mint(token.Claims{Subject: "test-" + string(role), Role: role, Namespaces: namespaces, Expires: time.Now().Add(time.Hour)})
	require.NoError(t, err)
	return text
}

// dial connects an SDK client with a token. Without one the SDK still dials:
// nothing is sent before the first call.
func dial(t *testing.T, frontend, bearer string, options client.Options) client.Client {
	t.Helper()
	options.HostPort = frontend
	if options.Logger == nil {
		options.Logger = sdklog.NewStructuredLogger(quiet())
	}
	if bearer != "" {
		options.Credentials = client.NewAPIKeyStaticCredentials(bearer)
		options.ConnectionOptions.TLSDisabled = true
	}
	c, err := client.NewLazyClient(options)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// system is a client that may do everything.
func system(t *testing.T, b bench) client.Client {
	t.Helper()
	return dial(t, b.engine.Frontend(), mint(t, b.signer, token.RoleSystem), client.Options{Namespace: platformflows.Namespace})
}

// cell is an organization with its namespace and keys.
type cell struct {
	org  string
	keys seal.DataKeys
}

func newCell(t *testing.T, b bench) cell {
	t.Helper()
	key, err := seal.NewDataKey()
	require.NoError(t, err)
	c := cell{org: schema.NewID(schema.PrefixOrganization), keys: seal.NewDataKeys(key)}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	require.NoError(t, platform.EnsureNamespace(ctx, system(t, b), c.org, retention))
	b.codec.add(c)
	return c
}

// client is the cell's own client: its token, its codec.
func (c cell) client(t *testing.T, b bench) client.Client {
	t.Helper()
	return dial(t, b.engine.Frontend(), mint(t, b.signer, token.RoleCell, c.org), client.Options{
		Namespace:        c.org,
		DataConverter:    codec.DataConverter(c.org, c.keys),
		FailureConverter: codec.FailureConverter(c.org, c.keys),
	})
}

// raw connects without an SDK in between.
func raw(t *testing.T, address string) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// bearing puts a token on a call; an empty one puts nothing.
func bearing(ctx context.Context, bearer string) context.Context {
	if bearer == "" {
		return ctx
	}
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+bearer)
}

// codecServer is a codec endpoint as the API serves one: token, then
// namespace, then the codec of that cell.
type codecServer struct {
	server   *httptest.Server
	verifier token.Verifier
	cells    atomic.Pointer[map[string]cell]
	seen     atomic.Pointer[http.Header]
}

func newCodecServer(verifier token.Verifier) *codecServer {
	s := &codecServer{verifier: verifier}
	s.cells.Store(&map[string]cell{})
	s.server = httptest.NewServer(s)
	return s
}

func (s *codecServer) add(c cell) {
	for {
		old := s.cells.Load()
		grown := map[string]cell{c.org: c}
		maps.Copy(grown, *old)
		if s.cells.CompareAndSwap(old, &grown) {
			return
		}
	}
}

func (s *codecServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := r.Header.Clone()
	s.seen.Store(&header)
	bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	claims, err := s.verifier.Verify(bearer, time.Now())
	if err != nil || claims.Role != token.RoleOperator {
		http.Error(w, "unauthenticated", http.StatusUnauthorized)
		return
	}
	c, known := (*s.cells.Load())[r.Header.Get("X-Namespace")]
	if !known || !claims.Opens(c.org) {
		http.Error(w, "forbidden", http.StatusForbidden)
		return
	}
	codec.Endpoint(codec.New(c.org, c.keys)).ServeHTTP(w, r)
}
