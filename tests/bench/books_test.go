package bench

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// books is the bookkeeping service in its own process: the ground truth.
type books struct {
	target
	client
	directory string
}

func startBooks(b *testing.B) *books {
	b.Helper()
	k := &books{directory: b.TempDir()}
	k.token = "bench-" + strings.Repeat("k", 32)
	require.NoError(b, os.WriteFile(filepath.Join(k.directory, "token"), []byte(k.token), 0o600))
	cmd := exec.CommandContext(context.WithoutCancel(b.Context()), binary(b, "bookkeeper"), "-dir", k.directory)
	spawn(b, cmd)
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	until(b, 10*time.Second, "the bookkeeper starts", func() bool {
		address, err := os.ReadFile(filepath.Join(k.directory, "address"))
		k.host = strings.TrimPrefix(strings.TrimSpace(string(address)), "https://")
		return err == nil && k.host != ""
	})
	ca, err := os.ReadFile(filepath.Join(k.directory, "ca.pem"))
	require.NoError(b, err)
	k.ca = string(ca)
	roots := x509.NewCertPool()
	require.True(b, roots.AppendCertsFromPEM(ca))
	k.client = newClient("https://"+k.host, k.token, roots)
	return k
}

type counts struct{ Bills, Duplicates int }

func (k *books) counts(b *testing.B) counts {
	b.Helper()
	var c counts
	k.do(b, "GET", "/stats", nil, &c)
	return c
}

// recorder is a target that tells when a bill arrives, for latencies.
type recorder struct {
	target
	server *httptest.Server
	// arrived gets the order of each bill.
	arrived chan arrival
	// others arrived while another was waited for.
	others map[string]time.Time
	// asked is when the last request arrived that comes before a bill.
	asked atomic.Pointer[time.Time]
	// hold, while set, keeps the answers to bills back.
	hold atomic.Pointer[chan struct{}]
}

type arrival struct {
	order string
	at    time.Time
}

func startRecorder(b *testing.B) *recorder {
	b.Helper()
	r := &recorder{arrived: make(chan arrival, 1024), others: map[string]time.Time{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /suppliers", func(w http.ResponseWriter, _ *http.Request) {
		at := time.Now()
		r.asked.Store(&at)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"suppliers":[{"id":"sup-nordholz","name":"Nordholz Timber"}]}`))
	})
	mux.HandleFunc("POST /bills", func(w http.ResponseWriter, req *http.Request) {
		at := time.Now()
		var bill struct{ Order string }
		_ = json.NewDecoder(req.Body).Decode(&bill)
		r.arrived <- arrival{bill.Order, at}
		if held := r.hold.Load(); held != nil {
			<-*held
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"number":"R-1"}`))
	})
	r.server = httptest.NewTLSServer(mux)
	r.host, r.token = r.server.Listener.Addr().String(), "recorder-"+strings.Repeat("r", 32)
	r.ca = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.server.Certificate().Raw}))
	b.Cleanup(func() {
		r.release()
		r.server.Close()
	})
	return r
}

// stall keeps answers back until release.
func (r *recorder) stall() {
	held := make(chan struct{})
	r.hold.Store(&held)
}

func (r *recorder) release() {
	if held := r.hold.Swap(nil); held != nil {
		close(*held)
	}
}

// wait returns when a bill for the order arrives.
func (r *recorder) wait(b *testing.B, order string, patience time.Duration) time.Time {
	b.Helper()
	t := time.NewTimer(patience)
	defer t.Stop()
	for {
		select {
		case a := <-r.arrived:
			if a.order == order {
				return a.at
			}
		case <-t.C:
			b.Fatalf("order %s did not arrive within %s", order, patience)
		}
	}
}

// seen is [recorder.wait] for one of several orders, which may arrive in any order.
func (r *recorder) seen(b *testing.B, order string, patience time.Duration) time.Time {
	b.Helper()
	if at, ok := r.others[order]; ok {
		delete(r.others, order)
		return at
	}
	t := time.NewTimer(patience)
	defer t.Stop()
	for {
		select {
		case a := <-r.arrived:
			if a.order == order {
				return a.at
			}
			r.others[a.order] = a.at
		case <-t.C:
			b.Fatalf("order %s did not arrive within %s", order, patience)
		}
	}
}

// load is what a closed loop did.
type load struct {
	flows int
	took  time.Duration
}

// drive posts orders for the time given, outstanding at a time by the
// bookkeeper's own count, and waits for the last bill.
func (k *books) drive(b *testing.B, prefix string, window time.Duration, post func(context.Context, string) error) load {
	b.Helper()
	before := k.counts(b)
	room := make(chan struct{}, outstanding)
	var posted atomic.Int64
	ctx, cancel := context.WithTimeout(b.Context(), window)
	defer cancel()
	var wg sync.WaitGroup
	began := time.Now()
	for range outstanding {
		wg.Go(func() {
			for {
				select {
				case room <- struct{}{}:
				case <-ctx.Done():
					return
				}
				if ctx.Err() != nil {
					return
				}
				if err := post(b.Context(), prefix+"-"+itoa(posted.Add(1))); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() {
		wg.Wait()
		close(done)
	}()
	seen, last := before.Bills, time.Now()
	look := func() int {
		now := k.counts(b)
		for ; seen < now.Bills; seen++ {
			<-room
			last = time.Now()
		}
		return now.Duplicates
	}
	until(b, window+10*time.Second, "all orders are posted", func() bool {
		look()
		select {
		case <-done:
			return true
		default:
			return false
		}
	})
	n := int(posted.Load())
	until(b, time.Minute, "all bills arrive", func() bool {
		look()
		return seen >= before.Bills+n
	})
	took := last.Sub(began)
	pause(settling)
	require.Equal(b, counts{before.Bills + n, 0}, k.counts(b), "exactly the right bills")
	require.Positive(b, n)
	return load{flows: n, took: took}
}
