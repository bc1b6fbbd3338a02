package storetest

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/lib/pq"
)

// Superuser is the role that owns the cluster.
const Superuser = "postgres"

// Cluster is a private PostgreSQL server.
type Cluster struct {
	// Directory holds its Unix socket.
	Directory string
	// Port is that of the socket and of 127.0.0.1.
	Port int
	// Password is the Superuser's.
	Password string
}

var shared struct {
	once    sync.Once
	cluster *Cluster
	err     error
}

// Postgres returns the cluster of this test binary, starting it the first
// time. It fails the test when there is none to be had.
func Postgres(tb testing.TB) *Cluster {
	tb.Helper()
	shared.once.Do(func() { shared.cluster, shared.err = start() })
	if shared.err != nil {
		tb.Fatalf("PostgreSQL for tests does not start: %v", shared.err)
	}
	return shared.cluster
}

// URL addresses a database of the cluster over its Unix socket, as Superuser.
func (c *Cluster) URL(database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword(Superuser, c.Password), Path: "/" + database}
	u.RawQuery = url.Values{"host": {c.Directory}, "port": {strconv.Itoa(c.Port)}, "sslmode": {"disable"}}.Encode()
	return u.String()
}

// Address is where the cluster listens on loopback, for what cannot use a
// Unix socket.
func (c *Cluster) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(c.Port)) }

// Database makes an empty database and returns its URL. It is dropped when the
// test ends.
func (c *Cluster) Database(tb testing.TB) string {
	tb.Helper()
	name := "test_" + random(8)
	if err := c.exec("CREATE DATABASE " + pq.QuoteIdentifier(name) + " TEMPLATE template0"); err != nil {
		tb.Fatalf("create a database: %v", err)
	}
	tb.Cleanup(func() {
		if err := c.exec("DROP DATABASE IF EXISTS " + pq.QuoteIdentifier(name) + " WITH (FORCE)"); err != nil {
			tb.Errorf("drop the database: %v", err)
		}
	})
	return c.URL(name)
}

func (c *Cluster) exec(statement string) error {
	connector, err := pq.NewConnector(c.URL("postgres"))
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer db.Close() //nolint:errcheck // nothing is lost with it
	_, err = db.ExecContext(context.Background(), statement)
	return err
}

// supervise runs the server, ends it at once when told to or when the test
// binary dies, and removes its files. The shell outlives the test binary by
// that much.
const supervise = `directory=$1; shift
"$@" >"$directory/log" 2>&1 &
server=$!
trap 'kill -QUIT $server' TERM INT HUP
wait $server
trap '' TERM INT HUP
wait $server
rm -rf -- "$directory"`

func start() (*Cluster, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	who, err := unprivileged()
	if err != nil {
		return nil, err
	}
	directory, err := folder(who)
	if err != nil {
		return nil, err
	}
	c := &Cluster{Directory: directory, Password: random(16)}
	if err := c.initialise(bin, who); err != nil {
		return nil, err
	}
	// Another process may take the port between its choice and its use.
	for range 5 {
		if c.Port, err = freePort(); err != nil {
			return nil, err
		}
		if err = c.run(bin, who); err == nil {
			return c, nil
		}
	}
	return nil, err
}

func (c *Cluster) initialise(bin string, who *syscall.Credential) error {
	secret := filepath.Join(c.Directory, "password")
	if err := os.WriteFile(secret, []byte(c.Password), 0o600); err != nil {
		return err
	}
	if who != nil {
		if err := os.Chown(secret, int(who.Uid), int(who.Gid)); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(context.Background(), filepath.Join(bin, "initdb"), "--pgdata", c.data(), "--username", Superuser,
		"--pwfile", secret, "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	cmd.Dir = c.Directory
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	return os.Remove(secret)
}

func (c *Cluster) data() string { return filepath.Join(c.Directory, "data") }

func (c *Cluster) run(bin string, who *syscall.Credential) error {
	cmd := exec.CommandContext(context.Background(), "/bin/sh", "-c", supervise, "sh", c.Directory, filepath.Join(bin, "postgres"),
		"-D", c.data(), "-k", c.Directory, "-p", strconv.Itoa(c.Port),
		"-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200", "-c", "shared_buffers=64MB", "-c", "max_wal_size=256MB",
		"-c", "fsync="+fsync())
	cmd.Dir = c.Directory
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who, Pdeathsig: syscall.SIGTERM, Setpgid: true}
	exited := make(chan error, 1)
	started := make(chan error, 1)
	go func() {
		// The signal comes when the thread ends that started the process: this
		// goroutine keeps its thread as long as the process lives.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			exited <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	return c.await(exited)
}

func (c *Cluster) await(exited <-chan error) error {
	patience := time.NewTimer(30 * time.Second)
	defer patience.Stop()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	var last error
	for {
		if last = c.exec("SELECT 1"); last == nil {
			return nil
		}
		select {
		case err := <-exited:
			return fmt.Errorf("the server ended: %w", errors.Join(err, last))
		case <-patience.C:
			log, _ := os.ReadFile(filepath.Join(c.Directory, "log"))
			return fmt.Errorf("the server does not answer: %w: %s", last, bytes.TrimSpace(log))
		case <-again.C:
		}
	}
}

// fsync is for benchmarks, which measure it. Tests kill processes, never the
// machine, and what a process has written outlives it.
func fsync() string {
	if f := flag.Lookup("test.bench"); f != nil && f.Value.String() != "" {
		return "on"
	}
	return "off"
}

func freePort() (int, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := l.Addr().(*net.TCPAddr).Port //nolint:forcetypeassert // a TCP listener's
	return port, l.Close()
}

func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it never fails
	return hex.EncodeToString(b)
}
