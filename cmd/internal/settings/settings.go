// Package settings reads the configuration of every command: flags, then
// environment, then a file, then defaults. A bad value is refused at the start
// with its name and what it must be.
//
// It may import schema.
package settings

import (
	"errors"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/tenonhq/tenon/schema"
)

// Settings are the checked settings.
type Settings struct {
	// Data is the data directory, absolute.
	Data string
	// Postgres is the database server, empty for SQLite files.
	Postgres schema.Secret
	// API, UI and Engine are addresses to listen on; Engine is where an
	// external engine is when it is not under Data.
	API, UI, Engine string
	// TLSCert and TLSKey are files; without them the API listens on loopback only.
	TLSCert, TLSKey string
	LogFormat       string
	LogLevel        string
	// RootKey and APIKey are files with private keys.
	RootKey, APIKey string
	// PlaintextCredentials also takes credentials in clear over TLS or loopback.
	PlaintextCredentials bool
}

// setting is one row of the table of settings.
type setting struct {
	name, fallback, doc string
	// secret: the value may also be named by a file, NAME_FILE or name-file.
	secret bool
	check  func(string) string // what it must be, or empty
}

const envPrefix = "TENON_"

func table() []setting {
	return []setting{
		{name: "data", fallback: "./data", doc: "Directory of everything that is kept: databases, keys, sockets.", check: nonEmpty},
		{name: "postgres-url", doc: "PostgreSQL for the control database, the cells and the engine, instead of SQLite files; beyond loopback or a Unix socket only with sslmode=verify-full.", secret: true, check: postgresURL},
		{name: "api-address", fallback: "127.0.0.1:8080", doc: "Where the API listens; beyond loopback only with a certificate.", check: address},
		{name: "ui-address", fallback: "127.0.0.1:8233", doc: "Where the engine's web interface listens; loopback only.", check: loopback},
		{name: "engine-address", fallback: "127.0.0.1:7233", doc: "Where the engine's frontend listens; loopback only.", check: loopback},
		{name: "tls-cert", doc: "Certificate file of the API, PEM."},
		{name: "tls-key", doc: "Key file of that certificate, PEM."},
		{name: "log-format", fallback: "text", doc: "text or json.", check: oneOf("text", "json")},
		{name: "log-level", fallback: "info", doc: "debug, info, warn or error.", check: oneOf("debug", "info", "warn", "error")},
		{name: "root-key", doc: "File of the root private key, mode 0600; default DATA/keys/root.key."},
		{name: "api-key", doc: "File of the API private key, mode 0600; default DATA/keys/api.key. Not the same as root-key."},
		{name: "plaintext-credentials", fallback: "true", doc: "Also take credentials in clear, sealed on arrival; false takes those sealed by the client only.", check: oneOf("true", "false")},
	}
}

// Register adds a flag for each setting, and --config.
func Register(flags *pflag.FlagSet) {
	flags.String("config", "", "YAML file of settings, by the names of the flags (TENON_CONFIG)")
	for _, s := range table() {
		doc := s.doc + " (" + envName(s.name) + ")"
		flags.String(s.name, s.fallback, doc)
		if s.secret {
			flags.String(s.name+"-file", "", "file that holds "+s.name+" ("+envName(s.name)+"_FILE)")
		}
	}
}

// Load reads every setting in its order of precedence and checks it.
func Load(flags *pflag.FlagSet, lookup func(string) (string, bool)) (Settings, error) {
	file, err := readFile(flags, lookup)
	if err != nil {
		return Settings{}, err
	}
	values := make(map[string]string)
	for _, s := range table() {
		v, err := s.value(flags, lookup, file)
		if err != nil {
			return Settings{}, err
		}
		if s.check != nil && v != "" {
			if must := s.check(v); must != "" {
				return Settings{}, schema.Errorf(schema.CodeInvalid, "setting %s must be %s", s.name, must)
			}
		}
		values[s.name] = v
	}
	return build(values)
}

func (s setting) value(flags *pflag.FlagSet, lookup func(string) (string, bool), file map[string]string) (string, error) {
	names := []string{s.name}
	if s.secret {
		names = append(names, s.name+"-file")
	}
	for _, source := range []func(string) (string, bool){
		func(name string) (string, bool) {
			f := flags.Lookup(name)
			if f == nil || !f.Changed {
				return "", false
			}
			return f.Value.String(), true
		},
		func(name string) (string, bool) { return lookup(envName(name)) },
		func(name string) (string, bool) { v, ok := file[name]; return v, ok },
	} {
		for i, name := range names {
			v, ok := source(name)
			if !ok {
				continue
			}
			if i == 0 {
				return v, nil
			}
			text, err := os.ReadFile(v)
			if err != nil {
				return "", schema.Errorf(schema.CodeInvalid, "setting %s names a file that cannot be read: %w", name, err)
			}
			return strings.TrimSpace(string(text)), nil
		}
	}
	return s.fallback, nil
}

func readFile(flags *pflag.FlagSet, lookup func(string) (string, bool)) (map[string]string, error) {
	path := ""
	if f := flags.Lookup("config"); f != nil && f.Changed {
		path = f.Value.String()
	} else if v, ok := lookup(envPrefix + "CONFIG"); ok {
		path = v
	}
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, schema.Errorf(schema.CodeInvalid, "setting config names a file that cannot be read: %w", err)
	}
	var out map[string]string
	if err := yaml.Unmarshal(text, &out); err != nil {
		return nil, schema.Errorf(schema.CodeInvalid, "the file of settings must be YAML of names and plain values: %w", err)
	}
	known := map[string]bool{}
	for _, s := range table() {
		known[s.name], known[s.name+"-file"] = true, s.secret
	}
	for name := range out {
		if !known[name] {
			return nil, schema.Errorf(schema.CodeInvalid, "the file of settings has %q, which is no setting", name)
		}
	}
	return out, nil
}

func build(v map[string]string) (Settings, error) {
	data, err := filepath.Abs(v["data"])
	if err != nil {
		return Settings{}, schema.Errorf(schema.CodeInvalid, "setting data must be a path: %w", err)
	}
	s := Settings{
		Data: data, API: v["api-address"], UI: v["ui-address"], Engine: v["engine-address"],
		TLSCert: v["tls-cert"], TLSKey: v["tls-key"], LogFormat: v["log-format"], LogLevel: v["log-level"],
		RootKey: v["root-key"], APIKey: v["api-key"], PlaintextCredentials: v["plaintext-credentials"] == "true",
	}
	if v["postgres-url"] != "" {
		s.Postgres = schema.NewSecret([]byte(v["postgres-url"]))
	}
	if s.RootKey == "" {
		s.RootKey = filepath.Join(data, "keys", "root.key")
	}
	if s.APIKey == "" {
		s.APIKey = filepath.Join(data, "keys", "api.key")
	}
	if sameFile(s.RootKey, s.APIKey) {
		return Settings{}, schema.Errorf(schema.CodeInvalid, "settings root-key and api-key must name different keys: the API never holds the root key")
	}
	if (s.TLSCert == "") != (s.TLSKey == "") {
		return Settings{}, schema.Errorf(schema.CodeInvalid, "settings tls-cert and tls-key must be given together")
	}
	if s.TLSCert == "" && loopback(s.API) != "" {
		return Settings{}, schema.Errorf(schema.CodeInvalid, "setting api-address must be a loopback address, such as 127.0.0.1:8080, unless tls-cert and tls-key are given")
	}
	return s, nil
}

func sameFile(a, b string) bool {
	if filepath.Clean(a) == filepath.Clean(b) {
		return true
	}
	ia, err := os.Stat(a)
	if err != nil {
		return false
	}
	ib, err := os.Stat(b)
	if err != nil {
		return errors.Is(err, fs.ErrExist)
	}
	return os.SameFile(ia, ib)
}

func envName(name string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

func nonEmpty(v string) string {
	if strings.TrimSpace(v) == "" {
		return "a path"
	}
	return ""
}

func oneOf(values ...string) func(string) string {
	return func(v string) string {
		for _, w := range values {
			if v == w {
				return ""
			}
		}
		return "one of " + strings.Join(values, ", ")
	}
}

func address(v string) string {
	if _, err := net.ResolveTCPAddr("tcp", v); err != nil {
		return "host:port"
	}
	return ""
}

func loopback(v string) string {
	const must = "a loopback address, such as 127.0.0.1:8080"
	host, _, err := net.SplitHostPort(v)
	if err != nil {
		return must
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return must
	}
	return address(v)
}

func postgresURL(v string) string {
	const must = "a URL such as postgres://user@host/database"
	u, err := url.Parse(v)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return must
	}
	host := u.Hostname()
	if h := u.Query().Get("host"); h != "" {
		host = h
	}
	if strings.HasPrefix(host, "/") || host == "localhost" {
		return ""
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		return ""
	}
	if u.Query().Get("sslmode") != "verify-full" {
		return must + "?sslmode=verify-full: beyond loopback or a Unix socket only verified TLS is used"
	}
	return ""
}

// Markdown renders the table of settings for the documentation.
func Markdown() string {
	var b strings.Builder
	b.WriteString("| setting | environment | default | what it is |\n| --- | --- | --- | --- |\n")
	for _, s := range table() {
		fallback := "-"
		if s.fallback != "" {
			fallback = "`" + s.fallback + "`"
		}
		doc := s.doc
		if s.secret {
			doc += " Secret: `" + s.name + "-file` may name a file that holds it."
		}
		b.WriteString("| `--" + s.name + "` | `" + envName(s.name) + "` | " + fallback + " | " + doc + " |\n")
	}
	return b.String()
}
