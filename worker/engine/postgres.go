package engine

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.temporal.io/server/common/config"
	serverlog "go.temporal.io/server/common/log"
	"go.temporal.io/server/common/metrics"
	serversql "go.temporal.io/server/common/persistence/sql"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/postgresql"
	"go.temporal.io/server/common/resolver"
	serverschema "go.temporal.io/server/schema"

	"github.com/tenonhq/tenon/schema"
)

// The engine's databases are named by the prefix and these.
const (
	temporalDatabase   = "temporal"
	visibilityDatabase = "visibility"
)

// databasePrefix is what may stand before them: a plain identifier.
var databasePrefix = regexp.MustCompile(`^[a-z][a-z0-9_]{0,40}$`)

// postgresStores makes the engine's two databases where they are absent,
// brings their schemas up to this server's, and says how to open them.
func postgresStores(rawURL, prefix string, log serverlog.Logger) (temporal, visibility *config.SQL, err error) {
	if !databasePrefix.MatchString(prefix) {
		return nil, nil, schema.Errorf(schema.CodeInvalid, "the database prefix must be lower-case letters, digits and underscores").At("/database_prefix")
	}
	server, err := postgresServer(rawURL)
	if err != nil {
		return nil, nil, err
	}
	if err := createDatabases(server, log, prefix+temporalDatabase, prefix+visibilityDatabase); err != nil {
		return nil, nil, err
	}
	open := func(name string, connections int) (*config.SQL, error) {
		store := *server
		store.DatabaseName = prefix + name
		store.MaxConns, store.MaxIdleConns = connections, connections
		return &store, migrate(&store, "postgresql/v12/"+name, log)
	}
	if temporal, err = open(temporalDatabase, 16); err != nil {
		return nil, nil, err
	}
	if visibility, err = open(visibilityDatabase, 8); err != nil {
		return nil, nil, err
	}
	return temporal, visibility, nil
}

// postgresServer reads the URL; its errors never quote it, since a password
// stands in it.
func postgresServer(rawURL string) (*config.SQL, error) {
	u, err := url.Parse(rawURL)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return nil, schema.Errorf(schema.CodeInvalid, "the engine's database must be a postgres:// URL").At("/postgres_url")
	}
	store := &config.SQL{
		// Of the server's two drivers the one that keeps prepared statements.
		PluginName:        postgresql.PluginNamePGX,
		ConnectAddr:       u.Host,
		ConnectProtocol:   "tcp",
		ConnectAttributes: make(map[string]string),
		DatabaseName:      strings.TrimPrefix(u.Path, "/"),
		// The plugin puts the name into a URL as it is, and the password escaped.
		User: url.PathEscape(u.User.Username()),
	}
	if store.DatabaseName == "" {
		store.DatabaseName = "postgres"
	}
	store.Password, _ = u.User.Password()
	for name, values := range u.Query() {
		store.ConnectAttributes[name] = values[0]
	}
	host := u.Hostname()
	if named := store.ConnectAttributes["host"]; named != "" {
		host = named
	}
	if local := loopback(host) || strings.HasPrefix(host, "/"); !local && store.ConnectAttributes["sslmode"] != "verify-full" {
		return nil, schema.Errorf(schema.CodeInvalid, "a database beyond this machine needs sslmode=verify-full").At("/postgres_url")
	}
	return store, nil
}

func admin(store *config.SQL, log serverlog.Logger) (sqlplugin.AdminDB, error) {
	db, err := serversql.NewSQLAdminDB(sqlplugin.DbKindUnknown, store, resolver.NewNoopResolver(), log, metrics.NoopMetricsHandler)
	if err != nil {
		return nil, schema.Errorf(schema.CodeUnavailable, "the engine's database cannot be reached: %w", err)
	}
	return db, nil
}

func createDatabases(server *config.SQL, log serverlog.Logger, names ...string) (err error) {
	db, err := admin(server, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, name := range names {
		if err := db.CreateDatabase(name); err != nil {
			return schema.Errorf(schema.CodeUnavailable, "the database %s cannot be made: %w", name, err)
		}
		// PUBLIC may connect to a database unless told otherwise, and PUBLIC is
		// the cells' roles, too. The name is a plain identifier.
		if err := db.Exec(`REVOKE ALL ON DATABASE "` + name + `" FROM PUBLIC`); err != nil {
			return schema.Errorf(schema.CodeUnavailable, "the database %s cannot be closed to others: %w", name, err)
		}
	}
	return nil
}

// change is one version of the server's embedded schema.
type change struct {
	Version     string   `json:"CurrVersion"`
	Compatible  string   `json:"MinCompatibleVersion"`
	Description string   `json:"Description"`
	Files       []string `json:"SchemaUpdateCqlFiles"`
	directory   string
}

// migrate applies the versions that a database lacks, each with its record in
// one transaction, and refuses a database that is ahead of this server.
func migrate(store *config.SQL, root string, log serverlog.Logger) (err error) {
	changes, err := embedded(root)
	if err != nil {
		return err
	}
	db, err := admin(store, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.CreateSchemaVersionTables(); err != nil {
		return schema.Errorf(schema.CodeUnavailable, "the engine's database cannot be migrated: %w", err)
	}
	at, err := db.ReadSchemaVersion(store.DatabaseName)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		at = "0.0"
	case err != nil:
		return schema.Errorf(schema.CodeUnavailable, "the engine's schema version cannot be read: %w", err)
	}
	newest := changes[len(changes)-1].Version
	if compareVersions(at, newest) > 0 {
		return schema.Errorf(schema.CodeConflict, "the engine's database is of schema %s, newer than this server's %s", at, newest).
			Advise("run the release that migrated it, or a newer one")
	}
	for _, c := range changes {
		if compareVersions(c.Version, at) <= 0 {
			continue
		}
		if err := c.apply(db, store.DatabaseName); err != nil {
			return err
		}
	}
	return nil
}

// apply runs a version's statements and its record in one round trip: without
// arguments that is one transaction.
func (c change) apply(db sqlplugin.AdminDB, database string) error {
	var script strings.Builder
	for _, file := range c.Files {
		text, err := fs.ReadFile(serverschema.Assets(), path.Join(c.directory, file))
		if err != nil {
			return schema.Errorf(schema.CodeInternal, "the embedded schema cannot be read: %w", err)
		}
		// Nobody else is connected while the engine migrates, and an index that
		// is built concurrently cannot be part of a transaction.
		script.WriteString(slim(sparse(strings.ReplaceAll(string(text), "INDEX CONCURRENTLY", "INDEX"))))
		script.WriteString("\n;\n")
	}
	// Every value is ours: the database's name is checked, versions come from
	// the embedded manifests.
	fmt.Fprintf(&script, `INSERT INTO schema_version (version_partition, db_name, creation_time, curr_version, min_compatible_version)
VALUES (0, '%s', now() AT TIME ZONE 'utc', '%s', '%s')
ON CONFLICT (version_partition, db_name) DO UPDATE SET creation_time = excluded.creation_time,
curr_version = excluded.curr_version, min_compatible_version = excluded.min_compatible_version;`, database, c.Version, c.Compatible)
	if err := db.Exec(script.String()); err != nil {
		return schema.Errorf(schema.CodeUnavailable, "schema %s of the engine's database cannot be applied: %w", c.Version, err)
	}
	return nil
}

// attributeIndex is an index on one search attribute, their columns alone have
// names with capitals, or on a parent.
var attributeIndex = regexp.MustCompile(`(CREATE INDEX (?:IF NOT EXISTS )?\w+\s+ON executions_visibility\s+(?:USING GIN )?\(namespace_id, ([A-Z]\w*|parent_\w+)[^;]*\));`)

// sparse keeps rows out of the indexes on search attributes that they do not
// have, and on parents. A carrier has one of some sixty, and without it each of its two records
// is written into all those indexes. Every condition that such an index helps
// with implies that the attribute is there.
func sparse(script string) string {
	return attributeIndex.ReplaceAllString(script, "$1 WHERE $2 IS NOT NULL;")
}

// idleIndex is an index on a column by which nobody looks a carrier up: counts and
// sizes, and what repeats another column where there are no children.
var idleIndex = regexp.MustCompile(`(CREATE INDEX by_(?:history_length|history_size_bytes|execution_duration|state_transition_count|` +
	`execution_time|root_workflow_id|root_run_id)\s+ON executions_visibility\s+\([^;]*\));`)

// slim leaves indexes that do not pay empty: they take more room than a carrier's
// record itself, which is written into each of them twice. They stay by name, since
// the server's own later versions drop some. A query by such a column reads the
// records of its namespace.
func slim(script string) string {
	return idleIndex.ReplaceAllString(script, "$1 WHERE false;")
}

// embedded reads the server's own schema versions, oldest first.
func embedded(root string) ([]change, error) {
	entries, err := fs.ReadDir(serverschema.Assets(), path.Join(root, "versioned"))
	if err != nil {
		return nil, schema.Errorf(schema.CodeInternal, "the embedded schema cannot be read: %w", err)
	}
	changes := make([]change, 0, len(entries))
	for _, entry := range entries {
		c := change{directory: path.Join(root, "versioned", entry.Name())}
		manifest, err := fs.ReadFile(serverschema.Assets(), path.Join(c.directory, "manifest.json"))
		if err != nil {
			return nil, schema.Errorf(schema.CodeInternal, "the embedded schema cannot be read: %w", err)
		}
		if err := json.Unmarshal(manifest, &c); err != nil {
			return nil, schema.Errorf(schema.CodeInternal, "an embedded manifest is malformed: %w", err)
		}
		changes = append(changes, c)
	}
	if len(changes) == 0 {
		return nil, schema.Errorf(schema.CodeInternal, "there is no embedded schema")
	}
	slices.SortFunc(changes, func(a, b change) int { return compareVersions(a.Version, b.Version) })
	return changes, nil
}

// compareVersions compares versions such as 1.9 and 1.10 by their numbers.
func compareVersions(a, b string) int {
	numbers := func(v string) []int {
		var out []int
		for part := range strings.SplitSeq(v, ".") {
			n, err := strconv.Atoi(part)
			if err != nil {
				n = 0
			}
			out = append(out, n)
		}
		return out
	}
	return slices.Compare(numbers(a), numbers(b))
}
