package bench

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/connectors"
	"github.com/tenonhq/tenon/plugins/broker"
	"github.com/tenonhq/tenon/plugins/host"
	"github.com/tenonhq/tenon/plugins/sdk"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/seal"
)

// calls is how many calls of each kind are timed, in turn.
const calls = 500

// opener hands out the credential that a keyring would open.
type opener struct {
	use   seal.Use
	token string
}

// Open implements [broker.Opener].
func (o opener) Open(context.Context) (*broker.Credential, error) {
	return &broker.Credential{Use: o.use, Values: map[string]schema.Secret{"token": schema.NewSecret([]byte(o.token))}}, nil
}

// brokerFigure compares a call through the sandboxed connector and the broker
// with the same call made directly over a kept connection.
func brokerFigure(b *testing.B, r *report, rec *recorder) {
	b.Helper()
	sockets := b.TempDir()
	launcher, err := host.StartLauncher(b.Context(), binary(b, "tenon-launcher"), sockets)
	require.NoError(b, err)
	b.Cleanup(func() { launcher.Close() })
	var entries []host.Entry
	for _, m := range connectors.Builtin() {
		entry, err := host.NewEntry(m, binary(b, "tenon-connector"), m.Name)
		require.NoError(b, err)
		entries = append(entries, entry)
	}
	pool := host.NewPool(host.PoolConfig{Catalog: host.NewCatalog(entries...), Launcher: launcher, RunDir: sockets})
	b.Cleanup(func() { pool.Close() })
	way := broker.New(broker.Config{})
	use := seal.Use{Hosts: []string{rec.host}, Inject: seal.Injection{Scheme: seal.SchemeBearer}, CA: rec.ca}
	body := orderBody("broker")
	input, err := json.Marshal(map[string]any{"method": "post", "endpoint": map[string]string{"uri": "/bills"}, "body": json.RawMessage(body)})
	require.NoError(b, err)
	through := func() error {
		_, err := pool.Invoke(b.Context(), host.Invocation{
			Connector: "http", Action: "request", Settings: json.RawMessage(`{"base_url":"https://` + rec.host + `"}`), Input: input,
			Egress: func(ctx context.Context, q *sdk.Request) (*sdk.Response, error) {
				resp, _, err := way.Do(ctx, broker.Call{Connection: "con_bench", Version: 1, Opener: opener{use, rec.token}, Use: use}, q)
				return resp, err
			},
		})
		return err
	}
	roots := x509.NewCertPool()
	require.True(b, roots.AppendCertsFromPEM([]byte(rec.ca)))
	direct := newClient("https://"+rec.host, rec.token, roots)
	straight := func() error {
		_, _, err := direct.send(b.Context(), http.MethodPost, "/bills", body, http.Header{"Content-Type": {"application/json"}})
		return err
	}
	times := map[bool][]time.Duration{}
	for i := range calls + 20 {
		for _, way := range []bool{false, true} {
			do := straight
			if way {
				do = through
			}
			began := time.Now()
			require.NoError(b, do())
			took := time.Since(began)
			<-rec.arrived
			if i >= 20 {
				times[way] = append(times[way], took)
			}
		}
	}
	bare, full := median(times[false]), median(times[true])
	r.against("broker_added_p50_ms", milliseconds(full-bare), "ms", "<= 0.5", milliseconds(bare))
}
