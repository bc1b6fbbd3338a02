package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/tenonhq/tenon/cmd/internal/confine"
	"github.com/tenonhq/tenon/cmd/internal/heap"
	"github.com/tenonhq/tenon/plugins/host/probe"
	"github.com/tenonhq/tenon/schema"
	"github.com/tenonhq/tenon/schema/store"
	"github.com/tenonhq/tenon/schema/token"
	"github.com/tenonhq/tenon/worker/engine"
)

const (
	// startLimit bounds a start; PostgreSQL's first migration is the slow case.
	startLimit = time.Minute
	// drainLimit is how long the server may take to end.
	drainLimit = 9 * time.Second
	// maxConfig bounds the configuration.
	maxConfig = 1 << 20
)

// settings is the configuration as JSON. The PostgreSQL URL may hold a
// password, which is why there is no flag for any of this.
type settings struct {
	Directory      string `json:"directory"`
	PostgresURL    string `json:"postgres_url,omitempty"`
	DatabasePrefix string `json:"database_prefix,omitempty"`
	Frontend       string `json:"frontend,omitempty"`
	UI             string `json:"ui,omitempty"`
	CodecEndpoint  string `json:"codec_endpoint,omitempty"`
	// AuditEndpoint is the API's endpoint for what operators do.
	AuditEndpoint string `json:"audit_endpoint,omitempty"`
	// CodecCA is a PEM file that verifies the API's endpoints; UIHost is the host
	// and port by which browsers reach the UI.
	CodecCA string `json:"codec_ca,omitempty"`
	UIHost  string `json:"ui_host,omitempty"`
	// Verifier is the file with the public key that tokens are verified with.
	Verifier string `json:"verifier"`
	// Certificate and Key are PEM files; both or neither.
	Certificate string `json:"certificate,omitempty"`
	Key         string `json:"key,omitempty"`
	// LogLevel is debug, info, warn or error; LogFormat json or text.
	LogLevel  string `json:"log_level,omitempty"`
	LogFormat string `json:"log_format,omitempty"`
}

// addresses is the line that says that the engine answers.
type addresses struct {
	Frontend string `json:"frontend"`
	UI       string `json:"ui,omitempty"`
}

func main() {
	probe.Arm()
	heap.Relax()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "tenon-engine:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop was called.
	}
}

func run(ctx context.Context, args []string, out, logs io.Writer) error {
	set, err := read(args, logs)
	if err != nil {
		return err
	}
	config, err := set.config(logs)
	if err != nil {
		return err
	}
	if err := confined(set, config.Logger); err != nil {
		return err
	}
	starting, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	began, clock := time.Now(), engine.NewClock()
	running, err := engine.Start(starting, config)
	if err != nil {
		return err
	}
	config.Logger.InfoContext(ctx, "the engine answers", "frontend", running.Frontend(), "ui", running.UI(),
		"server", engine.Version, "took_ms", time.Since(began).Milliseconds())
	err = json.NewEncoder(out).Encode(addresses{Frontend: running.Frontend(), UI: running.UI()})
	if err == nil {
		err = clock.SetBack(ctx)
		config.Logger.InfoContext(ctx, "the engine drains")
	}
	draining, cancel := context.WithTimeout(context.Background(), drainLimit)
	defer cancel()
	return errors.Join(err, running.Stop(draining)) //nolint:contextcheck // The signal has ended ctx.
}

// confined leaves the engine its own directory and what connecting to its
// database reads: keys and cells are other processes'. What it was configured
// with is loaded by now.
func confined(set settings, logger *slog.Logger) error {
	if err := os.MkdirAll(set.Directory, 0o700); err != nil {
		return schema.Errorf(schema.CodeUnavailable, "the engine's directory cannot be made: %w", err).At("/directory")
	}
	// The SDK names its own workers by the checksum of the program.
	self, err := os.Executable()
	if err != nil {
		return schema.Errorf(schema.CodeInternal, "this binary does not know where it is: %w", err)
	}
	return confine.Apply(confine.Policy{
		ReadOnly: append(store.TLSFiles(set.PostgresURL), self), ReadWrite: []string{set.Directory},
		Keep: confine.Listening(set.Frontend, set.UI),
	}, logger)
}

// read finds the configuration and refuses what it does not know.
func read(args []string, usage io.Writer) (settings, error) {
	flags := flag.NewFlagSet("tenon-engine", flag.ContinueOnError)
	flags.SetOutput(usage)
	file := flags.String("config", "", "read the configuration from this JSON `file`")
	fd := flags.Int("config-fd", -1, "read the configuration from this inherited `descriptor`")
	if err := flags.Parse(args); err != nil {
		return settings{}, schema.Errorf(schema.CodeInvalid, "the arguments are wrong: %w", err)
	}
	var source *os.File
	switch {
	case flags.NArg() > 0 || (*file == "") == (*fd < 0):
		return settings{}, schema.Errorf(schema.CodeInvalid, "give --config FILE or --config-fd DESCRIPTOR, and nothing else")
	case *file != "":
		opened, err := os.Open(*file)
		if err != nil {
			return settings{}, schema.Errorf(schema.CodeInvalid, "the configuration cannot be opened: %w", err)
		}
		source = opened
	default:
		source = os.NewFile(uintptr(*fd), "config")
	}
	text, err := io.ReadAll(io.LimitReader(source, maxConfig))
	if err = errors.Join(err, source.Close()); err != nil {
		return settings{}, schema.Errorf(schema.CodeInvalid, "the configuration cannot be read: %w", err)
	}
	return parse(text)
}

// config opens the files that the settings name.
func (s settings) config(logs io.Writer) (engine.Config, error) {
	verifier, err := token.LoadVerifier(s.Verifier)
	if err != nil {
		return engine.Config{}, schema.Errorf(schema.CodeInvalid, "the token verifier cannot be loaded: %w", err).At("/verifier")
	}
	log, err := s.logger(logs)
	if err != nil {
		return engine.Config{}, err
	}
	config := engine.Config{
		Directory:      s.Directory,
		PostgresURL:    s.PostgresURL,
		DatabasePrefix: s.DatabasePrefix,
		Frontend:       s.Frontend,
		UI:             s.UI,
		CodecEndpoint:  s.CodecEndpoint,
		UIHost:         s.UIHost,
		Verifier:       verifier,
		Logger:         log,
	}
	if s.CodecCA != "" {
		text, err := os.ReadFile(s.CodecCA)
		config.CodecCA = x509.NewCertPool()
		if err != nil || !config.CodecCA.AppendCertsFromPEM(text) {
			return engine.Config{}, schema.Errorf(schema.CodeInvalid, "the codec endpoint's authority must be a file of certificates in PEM").At("/codec_ca")
		}
	}
	if s.AuditEndpoint != "" {
		remote, err := engine.NewRemoteRecord(s.AuditEndpoint, config.CodecCA)
		if err != nil {
			return engine.Config{}, schema.Errorf(schema.CodeInvalid, "the endpoint for what operators do cannot be used: %w", err).At("/audit_endpoint")
		}
		config.Recorder = remote
	}
	if s.Certificate != "" || s.Key != "" {
		pair, err := tls.LoadX509KeyPair(s.Certificate, s.Key)
		if err != nil {
			return engine.Config{}, schema.Errorf(schema.CodeInvalid, "the certificate and its key cannot be loaded: %w", err).At("/certificate")
		}
		config.Certificate = &pair
	}
	return config, nil
}

func (s settings) logger(w io.Writer) (*slog.Logger, error) {
	level := slog.LevelInfo
	if s.LogLevel != "" {
		if err := level.UnmarshalText([]byte(s.LogLevel)); err != nil {
			return nil, schema.Errorf(schema.CodeInvalid, "the log level must be debug, info, warn or error").At("/log_level")
		}
	}
	options := &slog.HandlerOptions{Level: level}
	switch s.LogFormat {
	case "", "json":
		return slog.New(slog.NewJSONHandler(w, options)).With("process", "engine"), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, options)).With("process", "engine"), nil
	default:
		return nil, schema.Errorf(schema.CodeInvalid, "the log format must be json or text").At("/log_format")
	}
}
