package bench

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/schema/token"
)

// baseline is the hand-written worker, on the platform's own engine.
type baseline struct {
	client
	pid int
	end func()
}

func startBaseline(b *testing.B, p *platform, k *books) *baseline {
	b.Helper()
	signer, err := token.LoadSigner(filepath.Join(p.data, "keys", "engine-token.key"))
	require.NoError(b, err)
	minted, err := signer.Mint(token.Claims{Subject: "baseline", Role: token.RoleSystem, Expires: time.Now().Add(time.Hour)})
	require.NoError(b, err)
	file := filepath.Join(b.TempDir(), "token")
	require.NoError(b, os.WriteFile(file, []byte(minted), 0o600))
	cmd := exec.CommandContext(context.WithoutCancel(b.Context()), binary(b, "bench-baseline"), "-engine", p.engine, "-token-file", file,
		"-target", "https://"+k.host, "-ca", filepath.Join(k.directory, "ca.pem"), "-key-file", filepath.Join(k.directory, "token"))
	cmd.Env = append(os.Environ(), "GOGC=400")
	cmd.Stderr = os.Stderr
	out := spawn(b, cmd)
	line := &baseline{pid: cmd.Process.Pid, end: sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})}
	b.Cleanup(line.end)
	address, err := out.ReadString('\n')
	require.NoError(b, err, "the baseline did not start")
	line.client = newClient("http://"+strings.TrimSpace(address), "", nil)
	return line
}

func (l *baseline) post(ctx context.Context, order string) error {
	status, text, err := l.send(ctx, http.MethodPost, "/", orderBody(order), http.Header{"Webhook-Id": {order}})
	if err == nil && status != http.StatusAccepted {
		err = fmt.Errorf("the baseline answered %d: %s", status, text)
	}
	return err
}
