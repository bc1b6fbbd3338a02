-- What messages are verified with and kept for has one tag, random, after each change of
-- it: a process that has read it with the tag knows that it still holds.
CREATE TABLE intakes (
  one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
  tag BIGINT NOT NULL
);
INSERT INTO intakes (one, tag) VALUES (1, 1 + (random() * 9e15)::bigint);
CREATE FUNCTION intakes_changed() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
  UPDATE door.intakes SET tag = 1 + (random() * 9e15)::bigint;
  RETURN NULL;
END $$;
-- What is new changes nothing of what was there.
CREATE TRIGGER sources_changed AFTER UPDATE OR DELETE ON sources
FOR EACH STATEMENT EXECUTE FUNCTION intakes_changed();
CREATE TRIGGER flows_changed AFTER UPDATE OF id, namespace, name, latest, state OR DELETE ON flows
FOR EACH STATEMENT EXECUTE FUNCTION intakes_changed();
CREATE TRIGGER flow_versions_changed AFTER UPDATE OF flow, version, digest OR DELETE ON flow_versions
FOR EACH STATEMENT EXECUTE FUNCTION intakes_changed();
-- What was there before, and was removed, is left out by who inserts.
DROP TRIGGER events_seen ON events;
DROP FUNCTION event_seen();
-- A process of an older release, which would keep again what was removed, fails from here on.
ALTER TABLE events RENAME COLUMN dedupe_key TO identity;
