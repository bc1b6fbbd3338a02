CREATE TABLE namespaces (
  id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  created_at TIMESTAMP NOT NULL
);
CREATE TABLE connections (
  id TEXT NOT NULL PRIMARY KEY,
  namespace TEXT NOT NULL REFERENCES namespaces (id),
  name TEXT NOT NULL,
  connector TEXT NOT NULL,
  settings_sealed BLOB NOT NULL,
  state TEXT NOT NULL,
  credential_version INTEGER NOT NULL,
  scheme TEXT NOT NULL,
  created_at TIMESTAMP NOT NULL,
  updated_at TIMESTAMP NOT NULL
);
-- The name of a deleted connection is free again.
CREATE UNIQUE INDEX connections_name ON connections (namespace, name) WHERE state <> 'deleted';
CREATE TABLE credentials (
  id TEXT NOT NULL PRIMARY KEY,
  connection TEXT NOT NULL REFERENCES connections (id),
  version INTEGER NOT NULL,
  sealed BLOB NOT NULL,
  state TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at TIMESTAMP NOT NULL,
  rotate_by TIMESTAMP,
  UNIQUE (connection, version)
);
CREATE TABLE flows (
  id TEXT NOT NULL PRIMARY KEY,
  namespace TEXT NOT NULL REFERENCES namespaces (id),
  name TEXT NOT NULL,
  latest INTEGER NOT NULL,
  state TEXT NOT NULL,
  created_at TIMESTAMP NOT NULL,
  updated_at TIMESTAMP NOT NULL,
  UNIQUE (namespace, name)
);
CREATE TABLE flow_versions (
  flow TEXT NOT NULL REFERENCES flows (id),
  version INTEGER NOT NULL,
  namespace TEXT NOT NULL,
  digest TEXT NOT NULL,
  document_sealed BLOB NOT NULL,
  straight BOOLEAN NOT NULL,
  created_by TEXT NOT NULL,
  created_at TIMESTAMP NOT NULL,
  PRIMARY KEY (flow, version)
);
CREATE INDEX flow_versions_digest ON flow_versions (digest);
CREATE TABLE sources (
  id TEXT NOT NULL PRIMARY KEY,
  namespace TEXT NOT NULL REFERENCES namespaces (id),
  name TEXT NOT NULL,
  flow TEXT NOT NULL REFERENCES flows (id),
  verifier TEXT NOT NULL,
  config_sealed BLOB NOT NULL,
  state TEXT NOT NULL,
  created_at TIMESTAMP NOT NULL,
  updated_at TIMESTAMP NOT NULL
);
CREATE UNIQUE INDEX sources_name ON sources (namespace, name) WHERE state <> 'deleted';
-- Times of the tables below are microseconds since 1970, 0 for none: rows that
-- every event adds are kept small.
CREATE TABLE events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  received_at INTEGER NOT NULL,
  flow_version INTEGER NOT NULL,
  id TEXT NOT NULL UNIQUE,
  namespace TEXT NOT NULL,
  source TEXT NOT NULL,
  kind TEXT NOT NULL,
  dedupe_key TEXT NOT NULL,
  flow TEXT NOT NULL,
  digest TEXT NOT NULL,
  payload_sealed BLOB NOT NULL,
  UNIQUE (source, dedupe_key)
);
CREATE TABLE commands (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  created_at INTEGER NOT NULL,
  id TEXT NOT NULL UNIQUE,
  namespace TEXT NOT NULL,
  run TEXT NOT NULL,
  kind TEXT NOT NULL,
  args_sealed BLOB NOT NULL,
  actor TEXT NOT NULL
);
CREATE TABLE audit (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL,
  at INTEGER NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  target TEXT NOT NULL,
  namespace TEXT NOT NULL,
  detail_sealed BLOB NOT NULL,
  hash BLOB NOT NULL
);
CREATE TRIGGER audit_no_update BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_no_delete BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
-- (INSERT OR REPLACE is stopped by the second trigger on our connections, which
-- set recursive_triggers. A trigger on INSERT would double what an entry costs.)
