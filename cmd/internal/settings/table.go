package settings

import (
	"strings"

	"github.com/spf13/pflag"
)

// setting is one row of the table of settings.
type setting struct {
	name, fallback, doc string
	// secret: the value may also be named by a file, NAME_FILE or name-file.
	secret bool
	check  func(string) string // what it must be, or empty
}

const envPrefix = "TENON_"

// table is every setting. An empty value means that it is not given, and only
// those without a default may be empty.
func table() []setting {
	return []setting{
		{name: "data", fallback: "./data", doc: "Directory of everything that is kept: databases, keys, sockets.", check: nonEmpty},
		{name: "postgres-url", doc: "PostgreSQL for the control database, the cells and the engine, instead of SQLite files; beyond loopback or a Unix socket only with sslmode=verify-full.", secret: true, check: postgresURL},
		{name: "redis-url", doc: "Redis that carries the bell from the APIs to the hosts when they are on several machines; beyond loopback or a Unix socket only with rediss://, verified.", secret: true, check: redisURL},
		{name: "api-address", fallback: "127.0.0.1:8080", doc: "Where the API listens; beyond loopback only with a certificate.", check: address},
		{name: "api-url", doc: "Where other processes reach the API, when not at api-address; https beyond loopback.", check: webURL},
		{name: "api-ca", doc: "Certificate authority file of the API, PEM, when it is not one of the system's."},
		{name: "tls-cert", doc: "Certificate file of the API, PEM."},
		{name: "tls-key", doc: "Key file of that certificate, PEM."},
		{name: "client-certificates", fallback: "false", doc: "Ask clients of the API for a certificate, without which none is refused: webhook sources with the verifier mtls need it. Only with tls-cert.", check: oneOf("true", "false")},
		{name: "engine-address", fallback: "127.0.0.1:7233", doc: "Where the engine's frontend listens, or where it is reached; beyond loopback only with engine-ca, and to listen with engine-tls-cert.", check: address},
		{name: "engine-ca", doc: "Certificate authority file of the engine, PEM; with it the engine is reached over verified TLS."},
		{name: "engine-tls-cert", doc: "Certificate file of the engine's frontend and web interface, PEM; with engine-ca."},
		{name: "engine-tls-key", doc: "Key file of that certificate, PEM."},
		{name: "ui-address", fallback: "127.0.0.1:8233", doc: "Where the engine's web interface listens; beyond loopback only with engine-tls-cert.", check: address},
		{name: "ui-url", doc: "Where browsers reach the engine's web interface, when not at ui-address; https beyond loopback.", check: webURL},
		{name: "log-format", fallback: "text", doc: "text or json.", check: oneOf("text", "json")},
		{name: "log-level", fallback: "info", doc: "debug, info, warn or error.", check: oneOf("debug", "info", "warn", "error")},
		{name: "root-key", doc: "File of the root private key, mode 0600, default DATA/keys/root.key; or a key that wraps it, in DATA/keys/root.wrapped: hashivault://, awskms://, gcpkms:// or azurekeyvault://."},
		{name: "api-key", doc: "The same for the API private key, default DATA/keys/api.key, wrapped in DATA/keys/api.wrapped. Not the same as root-key."},
		{name: "cell-idle", fallback: "1m", doc: "How long a cell has nothing to do before it sleeps: its processes end, and it wakes by what comes in or is due. From 1s to 24h; 0 keeps cells awake.", check: idle},
		{name: "cell-memory", fallback: "1024", doc: "Memory of a cell in MiB: of all its processes together where cell-cgroups can hold it, else of its worker. From 128 to 1048576.", check: number(leastMemory, mostMemory)},
		{name: "cell-processes", fallback: "1024", doc: "Processes and threads of a cell, where cell-cgroups can hold it. From 64 to 65536.", check: number(leastProcesses, mostProcesses)},
		{name: "cell-cpu-weight", fallback: "50", doc: "A cell's share of processor time when there is too little; other processes have 100. From 1 to 10000; without cell-cgroups, where it becomes a nice value, more than 100 is 100.", check: number(1, mostWeight)},
		{name: "cell-runs", fallback: "1024", doc: "Runs that a cell carries at a time, a flow alone half of them; further ones wait on disk. From 1 to 100000.", check: number(1, mostRuns)},
		{name: "cell-disk", fallback: "10240", doc: "What a cell's databases may take in MiB: then it takes nothing new in, and answers 507. From 1; 0 for no bound.", check: number(0, mostMemory)},
		{name: "cell-cgroups", doc: "Delegated cgroup directories, separated by commas, in which each cell gets a group of its own: one of version 2, or one of each controller of version 1.", check: directories},
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

func envName(name string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
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
			doc += " Secret: never an argument; `--" + s.name + "-file`, `" + envName(s.name) + "_FILE` or `file:/path` name a file of mode 0600 that holds it, `awssecretsmanager://NAME?region=REGION&decoder=string` or `gcpsecretmanager://projects/PROJECT/secrets/NAME?decoder=string` a secret manager that does."
		}
		b.WriteString("| `--" + s.name + "` | `" + envName(s.name) + "` | " + fallback + " | " + doc + " |\n")
	}
	return b.String()
}
