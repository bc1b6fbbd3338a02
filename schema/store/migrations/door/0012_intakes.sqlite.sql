-- What messages are verified with and kept for has one tag, random, after each change of
-- it: a process that has read it with the tag knows that it still holds.
CREATE TABLE intakes (
  one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
  tag INTEGER NOT NULL
);
INSERT INTO intakes (one, tag) VALUES (1, 1 + abs(random() / 2));
-- What is new changes nothing of what was there.
CREATE TRIGGER sources_changed_update AFTER UPDATE ON sources
BEGIN UPDATE intakes SET tag = 1 + abs(random() / 2); END;
CREATE TRIGGER sources_changed_delete AFTER DELETE ON sources
BEGIN UPDATE intakes SET tag = 1 + abs(random() / 2); END;
CREATE TRIGGER flows_changed_update AFTER UPDATE OF id, namespace, name, latest, state ON flows
BEGIN UPDATE intakes SET tag = 1 + abs(random() / 2); END;
CREATE TRIGGER flows_changed_delete AFTER DELETE ON flows
BEGIN UPDATE intakes SET tag = 1 + abs(random() / 2); END;
CREATE TRIGGER flow_versions_changed_update AFTER UPDATE OF flow, version, digest ON flow_versions
BEGIN UPDATE intakes SET tag = 1 + abs(random() / 2); END;
CREATE TRIGGER flow_versions_changed_delete AFTER DELETE ON flow_versions
BEGIN UPDATE intakes SET tag = 1 + abs(random() / 2); END;
-- What was there before, and was removed, is left out by who inserts.
DROP TRIGGER events_seen;
-- A process of an older release, which would keep again what was removed, fails from here on.
ALTER TABLE events RENAME COLUMN dedupe_key TO identity;
