CREATE TABLE namespaces (
  id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  created_at TIMESTAMPTZ NOT NULL
);
CREATE TABLE connections (
  id TEXT NOT NULL PRIMARY KEY,
  namespace TEXT NOT NULL REFERENCES namespaces (id),
  name TEXT NOT NULL,
  connector TEXT NOT NULL,
  settings_sealed BYTEA NOT NULL,
  state TEXT NOT NULL,
  credential_version BIGINT NOT NULL,
  scheme TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL
);
-- The name of a deleted connection is free again.
CREATE UNIQUE INDEX connections_name ON connections (namespace, name) WHERE state <> 'deleted';
CREATE TABLE credentials (
  id TEXT NOT NULL PRIMARY KEY,
  connection TEXT NOT NULL REFERENCES connections (id),
  version BIGINT NOT NULL,
  sealed BYTEA NOT NULL,
  state TEXT NOT NULL,
  created_by TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  rotate_by TIMESTAMPTZ,
  UNIQUE (connection, version)
);
CREATE TABLE flows (
  id TEXT NOT NULL PRIMARY KEY,
  namespace TEXT NOT NULL REFERENCES namespaces (id),
  name TEXT NOT NULL,
  latest BIGINT NOT NULL,
  state TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL,
  UNIQUE (namespace, name)
);
CREATE TABLE flow_versions (
  flow TEXT NOT NULL REFERENCES flows (id),
  version BIGINT NOT NULL,
  namespace TEXT NOT NULL,
  digest TEXT NOT NULL,
  document_sealed BYTEA NOT NULL,
  straight BOOLEAN NOT NULL,
  created_by TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  PRIMARY KEY (flow, version)
);
CREATE INDEX flow_versions_digest ON flow_versions (digest);
CREATE TABLE sources (
  id TEXT NOT NULL PRIMARY KEY,
  namespace TEXT NOT NULL REFERENCES namespaces (id),
  name TEXT NOT NULL,
  flow TEXT NOT NULL REFERENCES flows (id),
  verifier TEXT NOT NULL,
  config_sealed BYTEA NOT NULL,
  state TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX sources_name ON sources (namespace, name) WHERE state <> 'deleted';
-- Times of the tables below are microseconds since 1970, 0 for none: rows that
-- every event adds are kept small.
CREATE TABLE events (
  seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  received_at BIGINT NOT NULL,
  flow_version BIGINT NOT NULL,
  id TEXT NOT NULL UNIQUE,
  namespace TEXT NOT NULL,
  source TEXT NOT NULL,
  kind TEXT NOT NULL,
  dedupe_key TEXT NOT NULL,
  flow TEXT NOT NULL,
  digest TEXT NOT NULL,
  payload_sealed BYTEA NOT NULL,
  UNIQUE (source, dedupe_key)
);
CREATE TABLE commands (
  seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  created_at BIGINT NOT NULL,
  id TEXT NOT NULL UNIQUE,
  namespace TEXT NOT NULL,
  run TEXT NOT NULL,
  kind TEXT NOT NULL,
  args_sealed BYTEA NOT NULL,
  actor TEXT NOT NULL
);
CREATE TABLE audit (
  seq BIGINT PRIMARY KEY,
  at BIGINT NOT NULL,
  id TEXT NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  target TEXT NOT NULL,
  namespace TEXT NOT NULL,
  detail_sealed BYTEA NOT NULL,
  hash BYTEA NOT NULL
);
CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$;
CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE ON audit
FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit
FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
