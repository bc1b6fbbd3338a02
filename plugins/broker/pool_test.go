package broker

import (
	"context"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/tenonhq/tenon/plugins/sdk"
	"github.com/tenonhq/tenon/schema/seal"
)

// clock is moved by hand.
type clock struct{ now time.Time }

func pooled(t *testing.T) (b *Broker, c *clock, do func(method string)) {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(server.Close)
	c = &clock{now: time.Now()}
	b = New(Config{IdleTimeout: time.Hour})
	b.now = func() time.Time { return c.now }
	t.Cleanup(b.Close)
	use := seal.Use{
		Hosts: []string{strings.TrimPrefix(server.URL, "https://")},
		CA:    string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})),
	}
	return b, c, func(method string) {
		_, _, err := b.Do(context.WithoutCancel(t.Context()), Call{Connection: "con_1", Use: use}, &sdk.Request{Method: method, URL: server.URL})
		require.NoError(t, err)
	}
}

func (b *Broker) idle() (links []*link) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.pools {
		p.mu.Lock()
		links = append(links, p.idle...)
		p.mu.Unlock()
	}
	return links
}

func TestSweepClosesWhatIsIdle(t *testing.T) {
	t.Parallel()
	b, c, do := pooled(t)
	do("GET")
	kept := b.idle()
	require.Len(t, kept, 1)
	c.now = c.now.Add(59 * time.Minute)
	b.sweep()
	assert.Len(t, b.idle(), 1)
	c.now = c.now.Add(2 * time.Minute)
	b.sweep()
	assert.Empty(t, b.pools)
	require.Error(t, kept[0].client.Err())
}

// TestStaleConnectionDoesNotCarryAnUnrepeatableRequest: what has been idle may
// be closed by the server at any moment; a request that cannot be repeated
// does not take that chance.
func TestStaleConnectionDoesNotCarryAnUnrepeatableRequest(t *testing.T) {
	t.Parallel()
	b, c, do := pooled(t)
	do("POST")
	first := b.idle()[0]
	do("POST")
	require.Same(t, first, b.idle()[0])
	c.now = c.now.Add(2 * freshness)
	do("GET")
	require.Same(t, first, b.idle()[0])
	c.now = c.now.Add(2 * freshness)
	do("POST")
	require.NotSame(t, first, b.idle()[0])
}

func TestForgottenPoolKeepsNothing(t *testing.T) {
	t.Parallel()
	b, _, do := pooled(t)
	do("GET")
	var p *pool
	for _, p = range b.pools {
	}
	l := p.take(b.now(), time.Hour)
	require.NotNil(t, l)
	b.Close()
	b.put(p, l)
	assert.Empty(t, p.idle)
	require.Error(t, l.client.Err())
	do("GET") // a late call still works, and keeps nothing
	assert.Empty(t, b.pools)
}

func TestSweepRunsByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := New(Config{IdleTimeout: time.Minute})
		use := seal.Use{Hosts: []string{"host"}}
		target, err := parseTarget("https://host")
		require.NoError(t, err)
		_, err = b.pool(Call{Connection: "con_1"}, use, target, route{})
		require.NoError(t, err)
		time.Sleep(2*time.Minute + time.Second) //nolint:forbidigo // the bubble's clock: no time passes
		synctest.Wait()
		assert.Empty(t, b.idle())
		b.mu.Lock()
		assert.Empty(t, b.pools)
		b.mu.Unlock()
		b.Close()
	})
}
