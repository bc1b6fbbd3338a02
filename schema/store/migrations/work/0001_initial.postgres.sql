-- Times are microseconds since 1970, 0 for none: rows that every run adds are
-- kept small.
CREATE TABLE cursors (
  name TEXT NOT NULL PRIMARY KEY,
  seq BIGINT NOT NULL
);
CREATE TABLE meta (
  key TEXT NOT NULL PRIMARY KEY,
  value BYTEA NOT NULL
);
-- There is one run for each event, so the event's sequence number is the run's
-- too, and stands for it in the other tables: it takes less room than the id.
CREATE TABLE runs (
  seq BIGINT PRIMARY KEY,
  epoch BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  started_at BIGINT NOT NULL,
  ended_at BIGINT NOT NULL,
  flow_version BIGINT NOT NULL,
  straight BOOLEAN NOT NULL,
  id TEXT NOT NULL UNIQUE,
  namespace TEXT NOT NULL,
  event TEXT NOT NULL,
  flow TEXT NOT NULL,
  digest TEXT NOT NULL,
  carrier TEXT NOT NULL,
  state TEXT NOT NULL,
  error_type TEXT NOT NULL,
  result_sealed BYTEA NOT NULL
);
-- An ended run leaves the index. (A list of states here would cost SQLite two
-- temporary tables for each update of a run.)
CREATE INDEX runs_open ON runs (seq) WHERE ended_at = 0;
CREATE TABLE steps (
  run BIGINT NOT NULL,
  key TEXT NOT NULL,
  started_at BIGINT NOT NULL,
  ended_at BIGINT NOT NULL,
  pointer TEXT NOT NULL,
  kind TEXT NOT NULL,
  phase TEXT NOT NULL,
  state TEXT NOT NULL,
  record_sealed BYTEA NOT NULL,
  PRIMARY KEY (run, key)
);
CREATE TABLE effects (
  run BIGINT NOT NULL,
  key TEXT NOT NULL,
  epoch BIGINT NOT NULL,
  attempts BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  id TEXT NOT NULL,
  connection TEXT NOT NULL,
  action TEXT NOT NULL,
  idempotency_key TEXT NOT NULL,
  owner TEXT NOT NULL,
  state TEXT NOT NULL,
  digest BYTEA NOT NULL,
  outcome_sealed BYTEA NOT NULL,
  PRIMARY KEY (run, key)
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
