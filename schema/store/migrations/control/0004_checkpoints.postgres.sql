-- Whom an act concerns; an entry without it is hashed as before.
ALTER TABLE audit ADD COLUMN organization TEXT NOT NULL DEFAULT '';
-- The signed checkpoints over the chains of an organization, and with the empty
-- one over this database's own.
CREATE TABLE checkpoints (
  organization TEXT NOT NULL,
  seq BIGINT NOT NULL,
  document TEXT NOT NULL,
  PRIMARY KEY (organization, seq)
);
CREATE FUNCTION checkpoints_refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'checkpoints are append-only'; END $$;
CREATE TRIGGER checkpoints_no_change BEFORE UPDATE OR DELETE ON checkpoints
FOR EACH ROW EXECUTE FUNCTION checkpoints_refuse();
CREATE TRIGGER checkpoints_no_truncate BEFORE TRUNCATE ON checkpoints
FOR EACH STATEMENT EXECUTE FUNCTION checkpoints_refuse();
-- Beside the triggers, no role but the owner has the right: what another was
-- given by default is taken back. Checkpoints are written by the owner alone.
DO $$
DECLARE granted record;
BEGIN
  FOR granted IN
    SELECT DISTINCT c.oid::regclass AS tab, a.grantee::regrole AS who, c.relname AS name
    FROM pg_class c, aclexplode(c.relacl) a
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relname IN ('audit', 'checkpoints')
      AND a.grantee <> 0 AND a.grantee <> c.relowner
  LOOP
    EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON %s FROM %s', granted.tab, granted.who);
    IF granted.name = 'checkpoints' THEN
      EXECUTE format('REVOKE INSERT ON %s FROM %s', granted.tab, granted.who);
    END IF;
  END LOOP;
END $$;
