package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"github.com/tenonhq/tenon/schema/store/storetest"
)

const (
	// ackWindow is how long acknowledgements are counted, and plain inserts.
	ackWindow = 4 * time.Second
	// sessionsEnd is when a pool has ended the sessions that it does not use.
	sessionsEnd = 12 * time.Second
)

// acks measures the door alone: the cell is stopped meanwhile, so that its
// flows take no time from it, and the messages are signed before, so that what is
// counted is what receiving them takes. Every acknowledgement must be a row.
func acks(b *testing.B, r *report, p *platform, c *storetest.Cluster, k *books) {
	b.Helper()
	t := p.tenant(b, k.target)
	require.NoError(b, t.post(b.Context(), "wake")) // What is not awake cannot be stopped.
	until(b, 30*time.Second, "the cell is awake", func() bool { return t.states(b)["completed"] == 1 })
	require.NoError(b, syscall.Kill(p.cell(b, t.organization), syscall.SIGSTOP))
	pause(sessionsEnd) // Those of the loads before take a processor when they end.
	plain := inserts(b, c, "plain_events", orderBody("plain"))
	for i := range int64(outstanding) {
		require.NoError(b, t.post(b.Context(), "first-ack-"+itoa(i)))
	}
	// There will not be many more acknowledgements than there were rows.
	messages := make([][]byte, int(1.5*plain*ackWindow.Seconds()))
	for i := range messages {
		messages[i] = t.message(b, "ack-"+itoa(int64(i)))
	}
	senders := make(chan *sender, outstanding)
	for range outstanding {
		senders <- newSender(b, p.api)
	}
	n, rate := concurrently(b, ackWindow, func(_ context.Context, i int64) error {
		if i > int64(len(messages)) {
			return fmt.Errorf("all %d messages are sent", len(messages))
		}
		s := <-senders
		defer func() { senders <- s }()
		return s.send(messages[i-1])
	})
	require.Equal(b, n+outstanding+1, events(b, c, t.organization), "every acknowledged event is on disk")
	r.against("acks_per_s", rate, "1/s", "ratio >= 0.5", plain)
}

// message is a signed event as it is sent.
func (t *tenant) message(b *testing.B, order string) []byte {
	b.Helper()
	req := fasthttp.AcquireRequest()
	defer fasthttp.ReleaseRequest(req)
	require.NoError(b, t.sign(req, order))
	var text bytes.Buffer
	w := bufio.NewWriter(&text)
	require.NoError(b, req.Write(w))
	require.NoError(b, w.Flush())
	return text.Bytes()
}

// sender is a kept connection.
type sender struct {
	conn net.Conn
	from *bufio.Reader
	resp fasthttp.Response
}

func newSender(b *testing.B, address string) *sender {
	b.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(b.Context(), "tcp", address)
	require.NoError(b, err)
	b.Cleanup(func() { _ = conn.Close() })
	require.NoError(b, conn.SetDeadline(time.Now().Add(time.Minute)))
	return &sender{conn: conn, from: bufio.NewReader(conn)}
}

// send sends a message; anything but an acknowledgement is an error.
func (s *sender) send(message []byte) error {
	if _, err := s.conn.Write(message); err != nil {
		return err
	}
	if err := s.resp.Read(s.from); err != nil {
		return err
	}
	return acknowledged(&s.resp)
}

func events(b *testing.B, c *storetest.Cluster, organization string) (n int64) {
	b.Helper()
	db := open(b, c, "tenon_"+strings.TrimPrefix(organization, "org_"))
	require.NoError(b, db.QueryRowContext(b.Context(), "SELECT count(*) FROM door.events").Scan(&n))
	require.NoError(b, db.Close())
	return n
}
