-- For how many days after the end of its run a namespace keeps what an event
-- left; 0 for as long as the organization is there. Nothing is removed before
-- retention_from.
ALTER TABLE namespaces ADD COLUMN retention_days INTEGER NOT NULL DEFAULT 0;
ALTER TABLE namespaces ADD COLUMN retention_from TIMESTAMP;
-- How far the events of a namespace were looked at, and up to which time of their
-- runs' end they were removed, in microseconds since 1970.
CREATE TABLE sweeps (
  namespace TEXT NOT NULL PRIMARY KEY,
  seq INTEGER NOT NULL,
  before INTEGER NOT NULL
);
-- Events that had to stay when they were looked at, and are looked at again.
CREATE TABLE held (
  namespace TEXT NOT NULL,
  seq INTEGER NOT NULL,
  PRIMARY KEY (namespace, seq)
) WITHOUT ROWID;
-- Events that are gone, and whose runs the cell has to remove.
CREATE TABLE removals (
  seq INTEGER PRIMARY KEY AUTOINCREMENT,
  event_seq INTEGER NOT NULL,
  event TEXT NOT NULL,
  namespace TEXT NOT NULL
);
-- All that is left of an event that could come again: the first half of its
-- dedupe key, and the UUID of its id.
CREATE TABLE seen (
  key BLOB NOT NULL PRIMARY KEY,
  event BLOB NOT NULL
) WITHOUT ROWID;
-- Invariant 7: whoever inserts it, such an event is left out as one is that is
-- still there.
CREATE TRIGGER events_seen BEFORE INSERT ON events
WHEN length(NEW.dedupe_key) = 64 AND EXISTS (SELECT 1 FROM seen WHERE key = unhex(substr(NEW.dedupe_key, 1, 32)))
BEGIN SELECT RAISE(IGNORE); END;
CREATE INDEX commands_run ON commands (run) WHERE run <> '';
