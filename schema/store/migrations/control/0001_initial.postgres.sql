CREATE TABLE organizations (
  id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  state TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL
);
CREATE TABLE cells (
  organization TEXT NOT NULL PRIMARY KEY REFERENCES organizations (id),
  state TEXT NOT NULL,
  host TEXT NOT NULL,
  epoch BIGINT NOT NULL,
  lease_until TIMESTAMPTZ NOT NULL,
  wake_at TIMESTAMPTZ,
  updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX cells_host ON cells (host);
CREATE TABLE keys (
  id TEXT NOT NULL PRIMARY KEY,
  organization TEXT NOT NULL,
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  hash BYTEA NOT NULL,
  permissions TEXT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL,
  created_by TEXT NOT NULL,
  expires_at TIMESTAMPTZ,
  revoked_at TIMESTAMPTZ,
  last_used_at TIMESTAMPTZ
);
CREATE INDEX keys_organization ON keys (organization);
CREATE TABLE routes (
  source TEXT NOT NULL PRIMARY KEY,
  organization TEXT NOT NULL
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
