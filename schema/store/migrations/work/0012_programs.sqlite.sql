-- What the runs of one version of a flow have in common is kept once. A run whose id
-- follows from its event's keeps no event.
CREATE TABLE programs (
  program INTEGER PRIMARY KEY,
  flow_version INTEGER NOT NULL,
  straight BOOLEAN NOT NULL,
  namespace TEXT NOT NULL,
  flow TEXT NOT NULL,
  digest TEXT NOT NULL,
  UNIQUE (flow, flow_version, digest, namespace, straight)
);
INSERT INTO programs (flow, flow_version, digest, namespace, straight)
SELECT DISTINCT flow, flow_version, digest, namespace, straight FROM runs;
CREATE TABLE runs_after (
  seq INTEGER PRIMARY KEY,
  created_at INTEGER NOT NULL,
  started_at INTEGER NOT NULL,
  ended_at INTEGER NOT NULL,
  due_at INTEGER NOT NULL,
  epoch INTEGER NOT NULL,
  program INTEGER NOT NULL,
  id TEXT NOT NULL UNIQUE,
  event TEXT NOT NULL,
  carrier TEXT NOT NULL,
  state TEXT NOT NULL,
  error_type TEXT NOT NULL,
  order_key TEXT NOT NULL,
  result_sealed BLOB NOT NULL
);
INSERT INTO runs_after
SELECT r.seq, r.created_at, r.started_at, r.ended_at, r.due_at, r.epoch, p.program, r.id, r.event, r.carrier, r.state,
r.error_type, r.order_key, r.result_sealed
FROM runs r JOIN programs p ON p.flow = r.flow AND p.flow_version = r.flow_version AND p.digest = r.digest
AND p.namespace = r.namespace AND p.straight = r.straight ORDER BY r.seq;
DROP TABLE runs;
ALTER TABLE runs_after RENAME TO runs;
CREATE INDEX runs_open ON runs (seq) WHERE ended_at = 0 AND carrier <> '';
CREATE INDEX runs_waiting ON runs (program, seq) WHERE ended_at = 0 AND carrier = '';
CREATE INDEX runs_ordered ON runs (order_key, seq) WHERE order_key <> '' AND (ended_at = 0 OR state = 'uncertain');
CREATE TRIGGER runs_retired_insert AFTER INSERT ON runs
WHEN EXISTS (SELECT 1 FROM retired_keys WHERE id = substr(NEW.result_sealed, 3, 8))
BEGIN SELECT RAISE(ABORT, 'sealed with a retired key'); END;
CREATE TRIGGER runs_retired_update AFTER UPDATE OF result_sealed ON runs
WHEN NEW.result_sealed IS NOT OLD.result_sealed AND EXISTS (SELECT 1 FROM retired_keys WHERE id = substr(NEW.result_sealed, 3, 8))
BEGIN SELECT RAISE(ABORT, 'sealed with a retired key'); END;
