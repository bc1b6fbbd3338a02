package e2e

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

// sockets are the inodes of the sockets that a process holds.
func sockets(pid int) map[string]bool {
	out := map[string]bool{}
	fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil {
			if inode, ok := strings.CutPrefix(target, "socket:["); ok {
				out[strings.TrimSuffix(inode, "]")] = true
			}
		}
	}
	return out
}

// listeners are the TCP addresses that processes listen on.
func listeners(t *testing.T, processes map[int]string) map[string]string {
	t.Helper()
	owners := map[string]string{}
	for pid, name := range processes {
		for inode := range sockets(pid) {
			owners[inode] = name
		}
	}
	out := map[string]string{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(table)
		if os.IsNotExist(err) {
			continue
		}
		require.NoError(t, err)
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			fields := strings.Fields(lines.Text())
			if len(fields) < 10 || fields[3] != "0A" {
				continue
			}
			if name, ok := owners[fields[9]]; ok {
				out[address(t, fields[1])] = name
			}
		}
		require.NoError(t, f.Close())
	}
	return out
}

// address decodes the kernel's notation: words in the machine's byte order.
func address(t *testing.T, text string) string {
	t.Helper()
	host, port, ok := strings.Cut(text, ":")
	require.True(t, ok)
	raw, err := hex.DecodeString(host)
	require.NoError(t, err)
	for i := 0; i+4 <= len(raw); i += 4 {
		raw[i], raw[i+1], raw[i+2], raw[i+3] = raw[i+3], raw[i+2], raw[i+1], raw[i]
	}
	n, err := strconv.ParseUint(port, 16, 16)
	require.NoError(t, err)
	return net.JoinHostPort(net.IP(raw).String(), strconv.FormatUint(n, 10))
}

// TestAStrangerOnLoopbackGetsNothing starts everything and lists the listeners
// of every process: each is on loopback, the cells and connectors have none,
// and none gives anything to a caller without a token, by HTTP or gRPC.
func TestAStrangerOnLoopbackGetsNothing(t *testing.T) {
	t.Parallel()
	p := newPlatform(t)
	p.start(t)
	require.Contains(t, p.demo(t), "Everything as promised.")
	found := listeners(t, p.processes(t))
	require.Contains(t, found, p.api)
	require.Contains(t, found, p.ui)
	require.Contains(t, found, p.engine)
	for at, name := range found {
		host, _, err := net.SplitHostPort(at)
		require.NoError(t, err)
		require.True(t, net.ParseIP(host).IsLoopback(), "%s listens on %s", name, at)
		require.Contains(t, []string{"api", "tenon-engine"}, name, "%s listens on %s", name, at)
		stranger(t, at, name)
	}
}

// stranger asks a listener for what only a token opens.
func stranger(t *testing.T, at, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for _, path := range []string{"/v1/organizations", "/v1/runs", "/v1/audit", "/api/v1/namespaces", "/api/v1/namespaces/tenon-platform/workflows", "/codec/decode", "/metrics", "/debug/pprof/"} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+at+path, nil)
		require.NoError(t, err)
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			continue // It does not speak HTTP, or not without TLS.
		}
		require.NoError(t, resp.Body.Close())
		require.GreaterOrEqual(t, resp.StatusCode, 300, "%s at %s answers %s to anybody", name, at, path)
	}
	conn, err := grpc.NewClient(at, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	defer func() { _ = conn.Close() }()
	frontend := workflowservice.NewWorkflowServiceClient(conn)
	_, err = frontend.ListNamespaces(ctx, &workflowservice.ListNamespacesRequest{})
	require.Error(t, err, "%s at %s lists namespaces to anybody", name, at)
	_, err = frontend.ListWorkflowExecutions(ctx, &workflowservice.ListWorkflowExecutionsRequest{Namespace: "tenon-platform"})
	require.Error(t, err, "%s at %s lists workflows to anybody", name, at)
}
