-- Whether values were sealed with a retired key is asked once a statement, not
-- once a row: a row-level trigger that asks costs more than the row itself.
DROP TRIGGER runs_retired_insert ON runs;
DROP TRIGGER runs_retired_update ON runs;
CREATE FUNCTION runs_retired() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
  IF NOT EXISTS (SELECT 1 FROM work.retired_keys) THEN
    RETURN NULL;
  END IF;
  IF TG_OP = 'INSERT' THEN
    PERFORM 1 FROM fresh JOIN work.retired_keys k ON k.id = substring(fresh.result_sealed FROM 3 FOR 8);
  ELSE
    PERFORM 1 FROM fresh JOIN work.retired_keys k ON k.id = substring(fresh.result_sealed FROM 3 FOR 8)
    JOIN stale ON stale.seq = fresh.seq WHERE fresh.result_sealed IS DISTINCT FROM stale.result_sealed;
  END IF;
  IF FOUND THEN
    RAISE EXCEPTION 'sealed with a retired key' USING ERRCODE = 'TN001';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER runs_retired_insert AFTER INSERT ON runs
REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION runs_retired();
CREATE TRIGGER runs_retired_update AFTER UPDATE ON runs
REFERENCING OLD TABLE AS stale NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION runs_retired();
DROP TRIGGER steps_retired_insert ON steps;
DROP TRIGGER steps_retired_update ON steps;
CREATE FUNCTION steps_retired() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
  IF NOT EXISTS (SELECT 1 FROM work.retired_keys) THEN
    RETURN NULL;
  END IF;
  IF TG_OP = 'INSERT' THEN
    PERFORM 1 FROM fresh JOIN work.retired_keys k ON k.id = substring(fresh.record_sealed FROM 3 FOR 8);
  ELSE
    PERFORM 1 FROM fresh JOIN work.retired_keys k ON k.id = substring(fresh.record_sealed FROM 3 FOR 8)
    JOIN stale ON stale.run = fresh.run AND stale.key = fresh.key WHERE fresh.record_sealed IS DISTINCT FROM stale.record_sealed;
  END IF;
  IF FOUND THEN
    RAISE EXCEPTION 'sealed with a retired key' USING ERRCODE = 'TN001';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER steps_retired_insert AFTER INSERT ON steps
REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION steps_retired();
CREATE TRIGGER steps_retired_update AFTER UPDATE ON steps
REFERENCING OLD TABLE AS stale NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION steps_retired();
DROP TRIGGER effects_retired_insert ON effects;
DROP TRIGGER effects_retired_update ON effects;
CREATE FUNCTION effects_retired() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN
  IF NOT EXISTS (SELECT 1 FROM work.retired_keys) THEN
    RETURN NULL;
  END IF;
  IF TG_OP = 'INSERT' THEN
    PERFORM 1 FROM fresh JOIN work.retired_keys k ON k.id = substring(fresh.outcome_sealed FROM 3 FOR 8);
  ELSE
    PERFORM 1 FROM fresh JOIN work.retired_keys k ON k.id = substring(fresh.outcome_sealed FROM 3 FOR 8)
    JOIN stale ON stale.run = fresh.run AND stale.key = fresh.key WHERE fresh.outcome_sealed IS DISTINCT FROM stale.outcome_sealed;
  END IF;
  IF FOUND THEN
    RAISE EXCEPTION 'sealed with a retired key' USING ERRCODE = 'TN001';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER effects_retired_insert AFTER INSERT ON effects
REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION effects_retired();
CREATE TRIGGER effects_retired_update AFTER UPDATE ON effects
REFERENCING OLD TABLE AS stale NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION effects_retired();
