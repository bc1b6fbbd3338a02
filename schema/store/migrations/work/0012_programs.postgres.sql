-- What the runs of one version of a flow have in common is kept once. A run whose id
-- follows from its event's keeps no event.
CREATE TABLE programs (
  program INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  flow_version BIGINT NOT NULL,
  straight BOOLEAN NOT NULL,
  namespace TEXT NOT NULL,
  flow TEXT NOT NULL,
  digest TEXT NOT NULL,
  UNIQUE (flow, flow_version, digest, namespace, straight)
);
INSERT INTO programs (flow, flow_version, digest, namespace, straight)
SELECT DISTINCT flow, flow_version, digest, namespace, straight FROM runs;
ALTER TABLE runs RENAME TO runs_before;
CREATE TABLE runs (
  seq BIGINT NOT NULL,
  created_at BIGINT NOT NULL,
  started_at BIGINT NOT NULL,
  ended_at BIGINT NOT NULL,
  due_at BIGINT NOT NULL,
  epoch INTEGER NOT NULL,
  program INTEGER NOT NULL,
  id TEXT NOT NULL,
  event TEXT NOT NULL,
  carrier TEXT NOT NULL,
  state TEXT NOT NULL,
  error_type TEXT NOT NULL,
  order_key TEXT NOT NULL,
  result_sealed BYTEA NOT NULL
);
INSERT INTO runs
SELECT r.seq, r.created_at, r.started_at, r.ended_at, r.due_at, r.epoch, p.program, r.id, r.event, r.carrier, r.state,
r.error_type, r.order_key, r.result_sealed
FROM runs_before r JOIN programs p ON p.flow = r.flow AND p.flow_version = r.flow_version AND p.digest = r.digest
AND p.namespace = r.namespace AND p.straight = r.straight ORDER BY r.seq;
DROP TABLE runs_before;
ALTER TABLE runs ADD CONSTRAINT runs_pkey PRIMARY KEY (seq), ADD CONSTRAINT runs_id_key UNIQUE (id);
CREATE INDEX runs_open ON runs (seq) WHERE ended_at = 0 AND carrier <> '';
CREATE INDEX runs_waiting ON runs (program, seq) WHERE ended_at = 0 AND carrier = '';
CREATE INDEX runs_ordered ON runs (order_key, seq) WHERE order_key <> '' AND (ended_at = 0 OR state = 'uncertain');
CREATE TRIGGER runs_retired_insert AFTER INSERT ON runs
REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION runs_retired();
CREATE TRIGGER runs_retired_update AFTER UPDATE ON runs
REFERENCING OLD TABLE AS stale NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION runs_retired();
