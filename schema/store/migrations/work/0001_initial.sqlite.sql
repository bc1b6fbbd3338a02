-- Times are microseconds since 1970, 0 for none: rows that every run adds are
-- kept small.
CREATE TABLE cursors (
  name TEXT NOT NULL PRIMARY KEY,
  seq INTEGER NOT NULL
);
CREATE TABLE meta (
  key TEXT NOT NULL PRIMARY KEY,
  value BLOB NOT NULL
);
-- There is one run for each event, so the event's sequence number is the run's
-- too, and stands for it in the other tables: it takes less room than the id.
CREATE TABLE runs (
  seq INTEGER PRIMARY KEY,
  epoch INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  ended_at INTEGER NOT NULL,
  flow_version INTEGER NOT NULL,
  straight BOOLEAN NOT NULL,
  id TEXT NOT NULL UNIQUE,
  namespace TEXT NOT NULL,
  event TEXT NOT NULL,
  flow TEXT NOT NULL,
  digest TEXT NOT NULL,
  carrier TEXT NOT NULL,
  state TEXT NOT NULL,
  error_type TEXT NOT NULL,
  result_sealed BLOB NOT NULL
);
-- An ended run leaves the index. (A list of states here would cost SQLite two
-- temporary tables for each update of a run.)
CREATE INDEX runs_open ON runs (seq) WHERE ended_at = 0;
CREATE TABLE steps (
  run INTEGER NOT NULL,
  key TEXT NOT NULL,
  started_at INTEGER NOT NULL,
  ended_at INTEGER NOT NULL,
  pointer TEXT NOT NULL,
  kind TEXT NOT NULL,
  phase TEXT NOT NULL,
  state TEXT NOT NULL,
  record_sealed BLOB NOT NULL,
  UNIQUE (run, key)
);
CREATE TABLE effects (
  run INTEGER NOT NULL,
  key TEXT NOT NULL,
  epoch INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  id TEXT NOT NULL,
  connection TEXT NOT NULL,
  action TEXT NOT NULL,
  idempotency_key TEXT NOT NULL,
  owner TEXT NOT NULL,
  state TEXT NOT NULL,
  digest BLOB NOT NULL,
  outcome_sealed BLOB NOT NULL,
  UNIQUE (run, key)
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
