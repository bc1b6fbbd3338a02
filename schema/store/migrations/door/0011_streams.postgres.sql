-- What the events of one source for one version of its flow have in common is kept once,
-- and of a dedupe key its first half, as of an event that is removed: a source's is no
-- other's. Of an event that nothing repeats it is the id; here any value does, since
-- nobody looks for it.
CREATE TABLE streams (
  stream INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  flow_version BIGINT NOT NULL,
  namespace TEXT NOT NULL,
  source TEXT NOT NULL,
  kind TEXT NOT NULL,
  flow TEXT NOT NULL,
  digest TEXT NOT NULL,
  UNIQUE (source, kind, flow, flow_version, digest, namespace)
);
INSERT INTO streams (source, kind, flow, flow_version, digest, namespace)
SELECT DISTINCT source, kind, flow, flow_version, digest, namespace FROM events;
ALTER TABLE events RENAME TO events_before;
CREATE TABLE events (
  seq BIGINT GENERATED ALWAYS AS IDENTITY,
  received_at BIGINT NOT NULL,
  stream INTEGER NOT NULL,
  scheduled BOOLEAN NOT NULL,
  id TEXT NOT NULL,
  dedupe_key BYTEA NOT NULL,
  payload_sealed BYTEA NOT NULL,
  origin TEXT NOT NULL,
  lineage TEXT NOT NULL,
  order_key TEXT NOT NULL
);
INSERT INTO events OVERRIDING SYSTEM VALUE
SELECT e.seq, e.received_at, s.stream, e.kind = 'schedule', e.id,
CASE WHEN length(e.dedupe_key) = 64 THEN decode(left(e.dedupe_key, 32), 'hex') ELSE uuid_send(gen_random_uuid()) END,
e.payload_sealed, e.origin, e.lineage, e.order_key
FROM events_before e JOIN streams s ON s.source = e.source AND s.kind = e.kind AND s.flow = e.flow
AND s.flow_version = e.flow_version AND s.digest = e.digest AND s.namespace = e.namespace ORDER BY e.seq;
-- A number is never given twice, not even one whose event is gone.
SELECT setval(pg_get_serial_sequence('events', 'seq'), last_value, is_called) FROM events_seq_seq;
DROP TABLE events_before;
ALTER TABLE events ADD CONSTRAINT events_pkey PRIMARY KEY (seq), ADD CONSTRAINT events_id_key UNIQUE (id),
ADD CONSTRAINT events_dedupe_key_key UNIQUE (dedupe_key);
CREATE INDEX events_lineage ON events (lineage) WHERE lineage <> '';
-- What a schedule made last.
CREATE INDEX events_scheduled ON events (stream, seq) WHERE scheduled;
CREATE OR REPLACE FUNCTION event_seen() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
  IF EXISTS (SELECT 1 FROM door.seen WHERE key = NEW.dedupe_key) THEN RETURN NULL; END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER events_seen BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION event_seen();
CREATE TRIGGER events_retired_insert AFTER INSERT ON events
REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION events_retired();
CREATE TRIGGER events_retired_update AFTER UPDATE ON events
REFERENCING OLD TABLE AS stale NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION events_retired();
