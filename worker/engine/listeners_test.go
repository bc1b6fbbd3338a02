package engine_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/server/api/adminservice/v1"
	"go.temporal.io/server/api/historyservice/v1"
	"go.temporal.io/server/api/matchingservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
)

// The whole process is asked what it listens on, and each listener is tried
// by a stranger: with nothing, with TLS and no certificate, over HTTP. It is
// not parallel: other tests open listeners of their own.
func TestNoListenerAnswersAStranger(t *testing.T) { //nolint:paralleltest // See above.
	listening := ownListeners(t)
	require.Contains(t, listening, shared.engine.Frontend())
	require.Contains(t, listening, shared.engine.UI())
	// The frontend, the four services' ports, the UI and the test's own codec
	// endpoint: nothing else, such as a metrics, profiling or HTTP API port.
	assert.Len(t, listening, 7, "%v", listening)
	assert.Empty(t, ownUnixListeners(t))

	for _, address := range listening {
		host, _, err := net.SplitHostPort(address)
		require.NoError(t, err)
		assert.True(t, net.ParseIP(host).IsLoopback(), address)
		if "http://"+address == shared.codec.server.URL {
			continue
		}
		for name, transport := range map[string]credentials.TransportCredentials{
			"plaintext": insecure.NewCredentials(),
			"TLS without a certificate": credentials.NewTLS(&tls.Config{
				InsecureSkipVerify: true,
				ServerName:         "tenon-engine-internode",
			}),
		} {
			t.Run(address+" over "+name, func(t *testing.T) {
				conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(transport))
				require.NoError(t, err)
				t.Cleanup(func() { _ = conn.Close() })
				for call, err := range strangersCalls(t, conn) {
					assert.Error(t, err, call)
				}
			})
		}
		t.Run(address+" over HTTP", func(t *testing.T) {
			for _, path := range []string{"/", "/api/v1/namespaces", "/metrics", "/debug/pprof/", "/api/v1/settings", "/_app/version.json"} {
				status := strangersGet(t, "http://"+address+path)
				assert.NotEqual(t, http.StatusOK, status, path)
			}
		})
	}
}

// strangersCalls tries calls of every service of the server.
func strangersCalls(t *testing.T, conn *grpc.ClientConn) map[string]error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	calls := map[string]error{}
	public := workflowservice.NewWorkflowServiceClient(conn)
	_, calls["GetSystemInfo"] = public.GetSystemInfo(ctx, &workflowservice.GetSystemInfoRequest{})
	_, calls["GetClusterInfo"] = public.GetClusterInfo(ctx, &workflowservice.GetClusterInfoRequest{})
	_, calls["ListNamespaces"] = public.ListNamespaces(ctx, &workflowservice.ListNamespacesRequest{})
	_, calls["RegisterNamespace"] = public.RegisterNamespace(ctx, &workflowservice.RegisterNamespaceRequest{Namespace: "mine"})
	_, calls["DescribeCluster"] = adminservice.NewAdminServiceClient(conn).DescribeCluster(ctx, &adminservice.DescribeClusterRequest{})
	_, calls["GetShard"] = historyservice.NewHistoryServiceClient(conn).GetShard(ctx, &historyservice.GetShardRequest{ShardId: 1})
	_, calls["ListTaskQueuePartitions"] = matchingservice.NewMatchingServiceClient(conn).ListTaskQueuePartitions(ctx, &matchingservice.ListTaskQueuePartitionsRequest{})

	stream, err := adminservice.NewAdminServiceClient(conn).StreamWorkflowReplicationMessages(ctx)
	if err == nil {
		_, err = stream.Recv()
	}
	calls["StreamWorkflowReplicationMessages"] = err
	reflected, err := reflectionpb.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	if err == nil {
		if err = reflected.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}); err == nil || err == io.EOF { //nolint:errorlint // gRPC returns io.EOF itself.
			_, err = reflected.Recv()
		}
	}
	calls["ServerReflectionInfo"] = err
	return calls
}

// Health is the one thing that the frontend tells everybody.
func TestHealthIsOpen(t *testing.T) {
	t.Parallel()
	answer, err := healthpb.NewHealthClient(raw(t, shared.engine.Frontend())).Check(t.Context(),
		&healthpb.HealthCheckRequest{Service: "temporal.api.workflowservice.v1.WorkflowService"})
	require.NoError(t, err)
	assert.Equal(t, healthpb.HealthCheckResponse_SERVING, answer.GetStatus())
}

// strangersGet returns the status of a GET, 0 when there is no HTTP answer. A
// redirect (to the login) is not followed.
func strangersGet(t *testing.T, url string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	request.Header.Set("Accept", "text/html")
	c := http.Client{Timeout: 5 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := c.Do(request)
	if err != nil {
		return 0
	}
	defer func() { _ = response.Body.Close() }()
	return response.StatusCode
}

// ownListeners lists the TCP addresses that this process listens on, from the
// kernel's tables and its own descriptors.
func ownListeners(t *testing.T) []string {
	t.Helper()
	sockets := ownSockets(t)
	var found []string
	for _, table := range []string{"tcp", "tcp6"} {
		for _, fields := range lines(t, "/proc/self/net/"+table) {
			const listen = "0A"
			if len(fields) > 9 && fields[3] == listen && sockets[fields[9]] {
				found = append(found, parseAddress(t, fields[1]))
			}
		}
	}
	slices.Sort(found)
	return found
}

// ownUnixListeners lists the Unix sockets that this process listens on.
func ownUnixListeners(t *testing.T) []string {
	t.Helper()
	sockets := ownSockets(t)
	var found []string
	for _, fields := range lines(t, "/proc/self/net/unix") {
		const accepting = "00010000"
		if len(fields) > 6 && fields[3] == accepting && sockets[fields[6]] {
			found = append(found, strings.Join(fields[7:], " "))
		}
	}
	return found
}

func ownSockets(t *testing.T) map[string]bool {
	t.Helper()
	descriptors, err := filepath.Glob("/proc/self/fd/*")
	require.NoError(t, err)
	sockets := make(map[string]bool)
	for _, descriptor := range descriptors {
		target, err := os.Readlink(descriptor)
		if err != nil {
			continue
		}
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			sockets[strings.TrimSuffix(inode, "]")] = true
		}
	}
	return sockets
}

func lines(t *testing.T, path string) [][]string {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer func() { _ = f.Close() }()
	var out [][]string
	for scanner := bufio.NewScanner(f); scanner.Scan(); {
		out = append(out, strings.Fields(scanner.Text()))
	}
	return out
}

// parseAddress reads the kernel's notation: words in the machine's order.
func parseAddress(t *testing.T, text string) string {
	t.Helper()
	address, port, found := strings.Cut(text, ":")
	require.True(t, found)
	words, err := hex.DecodeString(address)
	require.NoError(t, err)
	ip := make(net.IP, len(words))
	for i := 0; i < len(words); i += 4 {
		binary.BigEndian.PutUint32(ip[i:], binary.NativeEndian.Uint32(words[i:]))
	}
	var n int
	_, err = fmt.Sscanf(port, "%X", &n)
	require.NoError(t, err)
	return net.JoinHostPort(ip.String(), fmt.Sprint(n))
}
