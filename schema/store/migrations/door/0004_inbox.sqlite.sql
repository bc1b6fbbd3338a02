-- An event may be a replay of another one (origin); lineage is the first of those
-- whose effects are the same. order_key is what its run waits for others by.
ALTER TABLE events ADD COLUMN origin TEXT NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN lineage TEXT NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN order_key TEXT NOT NULL DEFAULT '';
CREATE INDEX events_lineage ON events (lineage) WHERE lineage <> '';
-- What became of the event of a failed run: it was replayed or discarded.
CREATE TABLE dispositions (
  event TEXT NOT NULL PRIMARY KEY,
  kind TEXT NOT NULL,
  actor TEXT NOT NULL,
  at INTEGER NOT NULL
);
