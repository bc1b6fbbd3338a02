-- For how many days after the end of its run a namespace keeps what an event
-- left; 0 for as long as the organization is there. Nothing is removed before
-- retention_from.
ALTER TABLE namespaces ADD COLUMN retention_days BIGINT NOT NULL DEFAULT 0;
ALTER TABLE namespaces ADD COLUMN retention_from TIMESTAMPTZ;
-- How far the events of a namespace were looked at, and up to which time of their
-- runs' end they were removed, in microseconds since 1970.
CREATE TABLE sweeps (
  namespace TEXT NOT NULL PRIMARY KEY,
  seq BIGINT NOT NULL,
  before BIGINT NOT NULL
);
-- Events that had to stay when they were looked at, and are looked at again.
CREATE TABLE held (
  namespace TEXT NOT NULL,
  seq BIGINT NOT NULL,
  PRIMARY KEY (namespace, seq)
);
-- Events that are gone, and whose runs the cell has to remove.
CREATE TABLE removals (
  seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  event_seq BIGINT NOT NULL,
  event TEXT NOT NULL,
  namespace TEXT NOT NULL
);
-- All that is left of an event that could come again: the first half of its
-- dedupe key, and the UUID of its id.
CREATE TABLE seen (
  key BYTEA NOT NULL PRIMARY KEY,
  event BYTEA NOT NULL
);
-- Invariant 7: whoever inserts it, such an event is left out as one is that is
-- still there.
CREATE FUNCTION event_seen() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
  IF EXISTS (SELECT 1 FROM door.seen WHERE key = decode(left(NEW.dedupe_key, 32), 'hex')) THEN RETURN NULL; END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER events_seen BEFORE INSERT ON events
FOR EACH ROW WHEN (NEW.dedupe_key ~ '^[0-9a-f]{64}$') EXECUTE FUNCTION event_seen();
CREATE INDEX commands_run ON commands (run) WHERE run <> '';
