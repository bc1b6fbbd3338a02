-- What the events of one source for one version of its flow have in common is kept once,
-- and of a dedupe key its first half, as of an event that is removed: a source's is no
-- other's. Of an event that nothing repeats it is the id; here any value does, since
-- nobody looks for it.
CREATE TABLE streams (
  stream INTEGER PRIMARY KEY,
  flow_version INTEGER NOT NULL,
  namespace TEXT NOT NULL,
  source TEXT NOT NULL,
  kind TEXT NOT NULL,
  flow TEXT NOT NULL,
  digest TEXT NOT NULL,
  UNIQUE (source, kind, flow, flow_version, digest, namespace)
);
INSERT INTO streams (source, kind, flow, flow_version, digest, namespace)
SELECT DISTINCT source, kind, flow, flow_version, digest, namespace FROM events;
CREATE TABLE events_after (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  received_at INTEGER NOT NULL,
  stream INTEGER NOT NULL,
  scheduled BOOLEAN NOT NULL,
  id TEXT NOT NULL UNIQUE,
  dedupe_key BLOB NOT NULL UNIQUE,
  payload_sealed BLOB NOT NULL,
  origin TEXT NOT NULL,
  lineage TEXT NOT NULL,
  order_key TEXT NOT NULL
);
INSERT INTO events_after
SELECT e.seq, e.received_at, s.stream, e.kind = 'schedule', e.id,
CASE WHEN length(e.dedupe_key) = 64 THEN unhex(substr(e.dedupe_key, 1, 32)) ELSE randomblob(16) END,
e.payload_sealed, e.origin, e.lineage, e.order_key
FROM events e JOIN streams s ON s.source = e.source AND s.kind = e.kind AND s.flow = e.flow
AND s.flow_version = e.flow_version AND s.digest = e.digest AND s.namespace = e.namespace ORDER BY e.seq;
-- A number is never given twice, not even one whose event is gone.
DELETE FROM sqlite_sequence WHERE name = 'events_after';
INSERT INTO sqlite_sequence (name, seq) SELECT 'events_after', seq FROM sqlite_sequence WHERE name = 'events';
DROP TABLE events;
ALTER TABLE events_after RENAME TO events;
CREATE INDEX events_lineage ON events (lineage) WHERE lineage <> '';
-- What a schedule made last.
CREATE INDEX events_scheduled ON events (stream, seq) WHERE scheduled;
CREATE TRIGGER events_seen BEFORE INSERT ON events
WHEN EXISTS (SELECT 1 FROM seen WHERE key = NEW.dedupe_key)
BEGIN SELECT RAISE(IGNORE); END;
CREATE TRIGGER events_retired_insert AFTER INSERT ON events
WHEN EXISTS (SELECT 1 FROM retired_keys WHERE id = substr(NEW.payload_sealed, 3, 8))
BEGIN SELECT RAISE(ABORT, 'sealed with a retired key'); END;
CREATE TRIGGER events_retired_update AFTER UPDATE OF payload_sealed ON events
WHEN NEW.payload_sealed IS NOT OLD.payload_sealed AND EXISTS (SELECT 1 FROM retired_keys WHERE id = substr(NEW.payload_sealed, 3, 8))
BEGIN SELECT RAISE(ABORT, 'sealed with a retired key'); END;
