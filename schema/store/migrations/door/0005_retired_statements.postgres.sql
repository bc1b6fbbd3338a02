-- Whether values were sealed with a retired key is asked once a statement, not
-- once a row: a row-level trigger that asks costs more than the row itself.
DROP TRIGGER events_retired_insert ON events;
DROP TRIGGER events_retired_update ON events;
CREATE FUNCTION events_retired() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
  IF NOT EXISTS (SELECT 1 FROM door.retired_keys) THEN
    RETURN NULL;
  END IF;
  IF TG_OP = 'INSERT' THEN
    PERFORM 1 FROM fresh JOIN door.retired_keys k ON k.id = substring(fresh.payload_sealed FROM 3 FOR 8);
  ELSE
    PERFORM 1 FROM fresh JOIN door.retired_keys k ON k.id = substring(fresh.payload_sealed FROM 3 FOR 8)
    JOIN stale ON stale.seq = fresh.seq WHERE fresh.payload_sealed IS DISTINCT FROM stale.payload_sealed;
  END IF;
  IF FOUND THEN
    RAISE EXCEPTION 'sealed with a retired key' USING ERRCODE = 'TN001';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER events_retired_insert AFTER INSERT ON events
REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION events_retired();
CREATE TRIGGER events_retired_update AFTER UPDATE ON events
REFERENCING OLD TABLE AS stale NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION events_retired();
