package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"
	"gopkg.in/natefinch/lumberjack.v2"

	"github.com/tenonhq/tenon/cmd/internal/confine"
	"github.com/tenonhq/tenon/cmd/internal/logging"
	"github.com/tenonhq/tenon/plugins/host/enclosure"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/worker/process"
)

const (
	// childPatience is how long each child gets to drain.
	childPatience = 9 * time.Second
	// engineStartPatience bounds the wait for the engine's first answer.
	engineStartPatience = 60 * time.Second
	// logMegabytes and logFiles bound what the log keeps on disk.
	logMegabytes, logFiles = 64, 3
	// logGather is how much later than it was written a line may be seen; logBuffer
	// is as much as the pipe holds.
	logGather = 5 * time.Millisecond
	logBuffer = 64 << 10
)

// parent starts the processes and keeps them running. It holds no key.
type parent struct {
	env
	bin, engineBin string
	flags          []string
	log            *os.File // what children write their logs to
	began          time.Time
}

func up(ctx context.Context, e env) error {
	// Its environment may hold the address of a database.
	if err := confine.Hide(); err != nil {
		return err
	}
	// Rules for files and ports would be its children's, too. It keeps what these
	// need: under root it is nobody who looks into another process.
	err := enclosure.Drop(append(enclosure.Forking(), confine.Listening(e.API, e.UI, e.Engine)...)...)
	if err != nil {
		return schema.Errorf(schema.CodeUnavailable, "the process could not give up its capabilities: %w", err)
	}
	p := parent{env: e, began: time.Now()}
	if p.bin, err = os.Executable(); err != nil {
		return schema.Errorf(schema.CodeInternal, "this binary does not know where it is: %w", err)
	}
	for _, name := range []string{"tenon-engine", "tenon-cell", "tenon-connector", "tenon-eval", "tenon-launcher", "tenon-starter"} {
		if _, err := sibling(name); err != nil {
			return err
		}
	}
	p.engineBin, _ = sibling("tenon-engine")
	e.cmd.Flags().Visit(func(f *pflag.Flag) {
		// A secret is never an argument: a child reads it from where this process did.
		if f.Name != "postgres-url" && f.Name != "redis-url" {
			p.flags = append(p.flags, "--"+f.Name+"="+f.Value.String())
		}
	})
	if err := e.directories(); err != nil {
		return err
	}
	lock, err := p.lock(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }()
	if err := p.preflight(ctx); err != nil {
		return err
	}
	done, err := p.openLog()
	if err != nil {
		return err
	}
	defer done()
	if err := p.initialize(ctx); err != nil {
		return err
	}
	return p.keep(ctx)
}

// openLog makes the pipe that children log to: each line goes to the terminal
// and to a file that is bounded.
func (p *parent) openLog() (done func(), err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, schema.Errorf(schema.CodeUnavailable, "no pipe for the log: %w", err)
	}
	file := &lumberjack.Logger{Filename: filepath.Join(p.logs, "tenon.log"), MaxSize: logMegabytes, MaxBackups: logFiles}
	out := io.MultiWriter(os.Stderr, file)
	p.log, p.logger = w, logging.New(w, p.LogFormat, p.LogLevel, "up")
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		copyLines(out, r)
	}()
	return func() {
		_ = w.Close()
		<-copied
		_ = file.Close()
	}, nil
}

// copyLines copies whole lines until the end. Those that come within logGather are
// written together: a request is a line, and each write that finds this process
// waiting costs two changes of process.
func copyLines(out io.Writer, r io.Reader) {
	lines := bufio.NewReaderSize(r, logBuffer)
	pace := time.NewTicker(logGather)
	defer pace.Stop()
	for {
		batch, err := lines.ReadBytes('\n')
		more, _ := lines.Peek(lines.Buffered())
		whole := bytes.LastIndexByte(more, '\n') + 1
		batch = append(batch, more[:whole]...)
		_, _ = lines.Discard(whole)
		_, _ = out.Write(batch)
		if err != nil {
			return
		}
		<-pace.C
	}
}

func childEnv() []string {
	return append(commonEnv(), inherited("AWS_", "GOOGLE_", "VAULT_", "AZURE_")...)
}

// commonEnv has nothing of a provider's: the engine holds no keys.
func commonEnv() []string { return inherited("TENON_", "PATH=", "HOME=", "SSL_CERT_") }

// engineEnv names the engine's user, too. The server describes itself by it and does
// not start without a name, and the machine may know none, as where a container
// platform chose the number. A name that the machine does know goes first.
func (p *parent) engineEnv() []string {
	env := append(commonEnv(), "SQLITE_TMPDIR="+p.engine, "USER="+strconv.Itoa(os.Getuid()))
	if os.Getenv("HOME") == "" {
		env = append(env, "HOME="+p.engine)
	}
	return env
}

func inherited(prefixes ...string) []string {
	var out []string
	for _, kv := range os.Environ() {
		if slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(kv, p) }) {
			out = append(out, kv)
		}
	}
	return out
}

// initialize runs in a process of its own, which ends with the keys it made.
func (p *parent) initialize(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, p.bin, append([]string{"init"}, p.flags...)...)
	cmd.Env = childEnv()
	var said strings.Builder
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		return schema.Errorf(schema.CodeUnavailable, "the data directory could not be prepared:\n%s", strings.TrimSpace(said.String()))
	}
	return nil
}

func (p *parent) keep(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	engineUp := make(chan struct{})
	var once sync.Once
	var upper, lower sync.WaitGroup
	// The engine outlives the others while they drain.
	engineCtx, stopEngine := context.WithCancel(context.WithoutCancel(ctx))
	defer stopEngine()
	drain := func(c *process.Process) { c.Stop(childPatience) }
	lower.Go(func() {
		process.Keep(engineCtx, "engine", p.logger, func(ctx context.Context) (*process.Process, error) {
			child, err := p.startEngine(ctx)
			if err == nil {
				once.Do(func() { close(engineUp) })
			}
			return child, err
		}, drain)
	})
	upper.Go(func() { process.Keep(ctx, "api", p.logger, p.starter("api"), drain) })
	upper.Go(func() {
		select {
		case <-ctx.Done():
		case <-engineUp:
			process.Keep(ctx, "host", p.logger, p.starter("host"), drain)
		}
	})
	client, err := apiClient(p.APICA)
	if err != nil {
		return err
	}
	go p.announce(ctx, client)
	<-ctx.Done()
	p.logger.InfoContext(ctx, "draining")
	upper.Wait()
	stopEngine()
	lower.Wait()
	p.logger.InfoContext(ctx, "stopped")
	return nil
}

func (p *parent) starter(name string) func(context.Context) (*process.Process, error) {
	return func(context.Context) (*process.Process, error) {
		return process.Start(process.Spec{
			Name: name, Path: p.bin, Args: append([]string{name}, p.flags...), Env: childEnv(), Stdout: p.log, Stderr: p.log,
		})
	}
}

// startEngine starts the engine and returns once it answers.
func (p *parent) startEngine(ctx context.Context) (*process.Process, error) {
	configR, configW, err := os.Pipe()
	if err != nil {
		return nil, schema.Errorf(schema.CodeUnavailable, "no pipe for the engine: %w", err)
	}
	defer func() { _ = configR.Close() }()
	readyR, readyW, err := os.Pipe()
	if err != nil {
		return nil, schema.Errorf(schema.CodeUnavailable, "no pipe for the engine: %w", err)
	}
	defer func() { _ = readyR.Close() }()
	child, err := process.Start(process.Spec{
		Name: "engine", Path: p.engineBin, Args: []string{"--config-fd", "3"},
		// Its own directory is all that it may write.
		Env:   p.engineEnv(),
		Files: []*os.File{configR}, Stdout: readyW, Stderr: p.log,
	})
	_ = readyW.Close()
	if err == nil {
		err = json.NewEncoder(configW).Encode(p.engineConfig())
	}
	_ = configW.Close()
	if err != nil {
		return nil, schema.Errorf(schema.CodeUnavailable, "the engine could not be started: %w", err)
	}
	if err := readyR.SetReadDeadline(time.Now().Add(engineStartPatience)); err != nil {
		return nil, schema.Errorf(schema.CodeInternal, "the engine could not be watched: %w", err)
	}
	if _, err := bufio.NewReader(readyR).ReadString('\n'); err != nil {
		child.Stop(time.Second)
		return nil, schema.Errorf(schema.CodeUnavailable, "the engine ended before it answered; its log says why").
			Advise("Is another running on " + p.Engine + " or " + p.UI + "? Choose other addresses with engine-address and ui-address.")
	}
	_ = ctx
	return child, nil
}

// engineConfig is the engine's configuration as it reads it.
func (p *parent) engineConfig() map[string]string {
	return map[string]string{
		"directory": p.engine, "postgres_url": string(p.Postgres.Reveal()),
		"database_prefix": enginePrefix(string(p.Postgres.Reveal())), "frontend": p.Engine, "ui": p.UI,
		"codec_endpoint": p.APIURL + "/v1/codec", "audit_endpoint": p.APIURL + "/v1/engine/acts", "codec_ca": p.APICA, "ui_host": p.uiHost(),
		"certificate": p.EngineCert, "key": p.EngineKey, "verifier": p.verifier, "log_level": p.engineLogLevel(), "log_format": p.LogFormat,
	}
}

// engineLogLevel keeps the engine's own chatter out of the log unless asked for.
func (p *parent) engineLogLevel() string {
	if p.LogLevel == "info" {
		return "warn"
	}
	return p.LogLevel
}

// uiHost is where browsers reach the web interface, empty when it is where it listens.
func (p *parent) uiHost() string {
	if u, err := url.Parse(p.UIURL); err == nil && u.Host != p.UI {
		return u.Host
	}
	return ""
}

// announce prints where everything is, once it answers.
func (p *parent) announce(ctx context.Context, client *http.Client) {
	t := time.NewTicker(20 * time.Millisecond)
	defer t.Stop()
	for !p.ready(ctx, client) {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
	_, _ = fmt.Fprintf(os.Stdout, `
Tenon is up (%.1f s).

  API            %s
  API docs       %s/docs
  Temporal UI    %s   (sign in with: %s operator-token --organization ORG)
  Engine         %s
  Administrator  its first key is in %s
  Log            %s

Ctrl-C drains and stops everything; what is under way goes on at the next start.

`, time.Since(p.began).Seconds(), p.APIURL, p.APIURL, p.UIURL, p.bin, p.Engine, p.adminKey, filepath.Join(p.logs, "tenon.log"))
}

func (p *parent) ready(ctx context.Context, client *http.Client) bool {
	if _, err := os.Stat(p.bell); err != nil {
		return false // The host does not take cells yet.
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.APIURL+"/v1/ready", nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}
