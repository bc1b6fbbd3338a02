CREATE TABLE organizations (
  id TEXT NOT NULL PRIMARY KEY,
  name TEXT NOT NULL,
  state TEXT NOT NULL,
  created_at TIMESTAMP NOT NULL,
  updated_at TIMESTAMP NOT NULL
);
CREATE TABLE cells (
  organization TEXT NOT NULL PRIMARY KEY REFERENCES organizations (id),
  state TEXT NOT NULL,
  host TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  lease_until TIMESTAMP NOT NULL,
  wake_at TIMESTAMP,
  updated_at TIMESTAMP NOT NULL
);
CREATE INDEX cells_host ON cells (host);
CREATE TABLE keys (
  id TEXT NOT NULL PRIMARY KEY,
  organization TEXT NOT NULL,
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  hash BLOB NOT NULL,
  permissions TEXT NOT NULL,
  created_at TIMESTAMP NOT NULL,
  created_by TEXT NOT NULL,
  expires_at TIMESTAMP,
  revoked_at TIMESTAMP,
  last_used_at TIMESTAMP
);
CREATE INDEX keys_organization ON keys (organization);
CREATE TABLE routes (
  source TEXT NOT NULL PRIMARY KEY,
  organization TEXT NOT NULL
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
