package settings

import (
	"errors"
	"path/filepath"
	"time"

	"github.com/spf13/pflag"

	"github.com/tenonhq/tenon/cmd/internal/custody"
	"github.com/tenonhq/tenon/schema"
)

// Settings are the checked settings.
type Settings struct {
	// Data is the data directory, absolute.
	Data string
	// Postgres is the database server, empty for SQLite files.
	Postgres schema.Secret
	// Redis carries the bell between machines, empty for one machine.
	Redis schema.Secret
	// API, UI and Engine are addresses to listen on; for a process that does not
	// run the engine, Engine is where to reach it.
	API, UI, Engine string
	// APIURL and UIURL are where the API and the web interface are reached.
	APIURL, UIURL string
	// TLSCert and TLSKey are files; without them the API listens on loopback only.
	TLSCert, TLSKey string
	// ClientCertificates asks clients of the API for one, and demands none.
	ClientCertificates bool
	// APICA is the authority to verify the API with, empty for the system's.
	APICA string
	// EngineCert and EngineKey are files; without them the engine and its web
	// interface listen on loopback only.
	EngineCert, EngineKey string
	// EngineCA is the authority to verify the engine with; without it the engine
	// is reached in clear, on loopback only.
	EngineCA  string
	LogFormat string
	LogLevel  string
	// RootKey and APIKey are files with private keys, or providers' keys that
	// wrap them.
	RootKey, APIKey string
	// Cell bounds each cell.
	Cell Cell
	// PlaintextCredentials also takes credentials in clear over TLS or loopback.
	PlaintextCredentials bool
	// CellIdle is how long a cell has nothing to do before it sleeps; zero for never.
	CellIdle time.Duration
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
		if v == "" && s.fallback != "" {
			return Settings{}, schema.Errorf(schema.CodeInvalid, "setting %s must not be empty; its default is %s", s.name, s.fallback)
		}
		if s.check != nil && v != "" {
			if must := s.check(v); must != "" {
				return Settings{}, schema.Errorf(schema.CodeInvalid, "setting %s must be %s", s.name, must)
			}
		}
		values[s.name] = v
	}
	if values["postgres-url"] != "" {
		// The driver would connect elsewhere than the setting says.
		for _, name := range []string{"PGHOSTADDR", "PGSERVICE", "PGSERVICEFILE"} {
			if v, ok := lookup(name); ok && v != "" {
				return Settings{}, schema.Errorf(schema.CodeInvalid, "environment variable %s must not be set: postgres-url says where the database is", name)
			}
		}
	}
	return build(values)
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
		ClientCertificates: v["client-certificates"] == "true",
	}
	if s.ClientCertificates && s.TLSCert == "" {
		return Settings{}, schema.Errorf(schema.CodeInvalid, "setting client-certificates needs tls-cert: a certificate counts where TLS ends in the API itself")
	}
	s.Cell = cellOf(v)
	if s.CellIdle, err = time.ParseDuration(v["cell-idle"]); err != nil {
		return Settings{}, schema.Errorf(schema.CodeInvalid, "setting cell-idle must be a duration")
	}
	if v["postgres-url"] != "" {
		s.Postgres = schema.NewSecret([]byte(v["postgres-url"]))
	}
	if v["redis-url"] != "" {
		s.Redis = schema.NewSecret([]byte(v["redis-url"]))
	}
	if s.RootKey == "" {
		s.RootKey = filepath.Join(data, "keys", "root.key")
	}
	if s.APIKey == "" {
		s.APIKey = filepath.Join(data, "keys", "api.key")
	}
	if err := errors.Join(custody.Check("root-key", s.RootKey), custody.Check("api-key", s.APIKey)); err != nil {
		return Settings{}, err
	}
	if custody.Same(s.RootKey, s.APIKey) {
		return Settings{}, schema.Errorf(schema.CodeInvalid, "settings root-key and api-key must name different keys: the API never holds the root key")
	}
	s.APICA, s.EngineCA, s.EngineCert, s.EngineKey = v["api-ca"], v["engine-ca"], v["engine-tls-cert"], v["engine-tls-key"]
	if s.APIURL = v["api-url"]; s.APIURL == "" {
		s.APIURL = at(s.API, s.TLSCert != "")
	}
	if s.UIURL = v["ui-url"]; s.UIURL == "" {
		s.UIURL = at(s.UI, s.EngineCert != "")
	}
	return s, s.checkTLS()
}

// at is the address of a web server.
func at(address string, secure bool) string {
	if secure {
		return "https://" + address
	}
	return "http://" + address
}

// checkTLS holds plaintext to loopback: beyond it a process listens with a
// certificate, and reaches another one verifying its certificate.
func (s Settings) checkTLS() error {
	switch {
	case (s.TLSCert == "") != (s.TLSKey == ""):
		return schema.Errorf(schema.CodeInvalid, "settings tls-cert and tls-key must be given together")
	case (s.EngineCert == "") != (s.EngineKey == ""):
		return schema.Errorf(schema.CodeInvalid, "settings engine-tls-cert and engine-tls-key must be given together")
	case s.TLSCert == "" && loopback(s.API) != "":
		return schema.Errorf(schema.CodeInvalid, "setting api-address must be a loopback address, such as 127.0.0.1:8080, unless tls-cert and tls-key are given")
	case s.EngineCert != "" && s.EngineCA == "":
		return schema.Errorf(schema.CodeInvalid, "setting engine-ca must be given with engine-tls-cert: the engine is reached by verified TLS only then")
	case s.EngineCA == "" && loopback(s.Engine) != "":
		return schema.Errorf(schema.CodeInvalid, "setting engine-address must be a loopback address, such as 127.0.0.1:7233, unless engine-ca is given")
	case s.EngineCert == "" && loopback(s.UI) != "":
		return schema.Errorf(schema.CodeInvalid, "setting ui-address must be a loopback address, such as 127.0.0.1:8233, unless engine-tls-cert and engine-tls-key are given")
	}
	return nil
}
