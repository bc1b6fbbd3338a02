-- Data keys that nothing is sealed with anymore: since when, since when nothing
-- is left under them that opens, and how many values are that do not. A process that
-- was away writes nothing under such a key: it is about to be destroyed.
CREATE TABLE retired_keys (
  id BYTEA NOT NULL PRIMARY KEY,
  kind TEXT NOT NULL,
  at BIGINT NOT NULL,
  clean_at BIGINT NOT NULL,
  broken BIGINT NOT NULL
);
-- Credentials that the cell sealed anew to the pair that follows, until the API
-- has taken them over. Replaces is SHA-256 of what they were made from.
CREATE TABLE resealed (
  connection TEXT NOT NULL,
  version BIGINT NOT NULL,
  replaces BYTEA NOT NULL,
  credential_sealed BYTEA NOT NULL,
  PRIMARY KEY (connection, version)
);
CREATE FUNCTION is_retired(sealed BYTEA) RETURNS boolean LANGUAGE plpgsql STABLE AS
$$ BEGIN RETURN EXISTS (SELECT 1 FROM work.retired_keys WHERE id = substring(sealed FROM 3 FOR 8)); END $$;
CREATE FUNCTION retired_refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'sealed with a retired key' USING ERRCODE = 'TN001'; END $$;
CREATE TRIGGER runs_retired_insert AFTER INSERT ON runs
FOR EACH ROW WHEN (work.is_retired(NEW.result_sealed)) EXECUTE FUNCTION retired_refuse();
CREATE TRIGGER runs_retired_update AFTER UPDATE OF result_sealed ON runs
FOR EACH ROW WHEN (NEW.result_sealed IS DISTINCT FROM OLD.result_sealed AND work.is_retired(NEW.result_sealed)) EXECUTE FUNCTION retired_refuse();
CREATE TRIGGER steps_retired_insert AFTER INSERT ON steps
FOR EACH ROW WHEN (work.is_retired(NEW.record_sealed)) EXECUTE FUNCTION retired_refuse();
CREATE TRIGGER steps_retired_update AFTER UPDATE OF record_sealed ON steps
FOR EACH ROW WHEN (NEW.record_sealed IS DISTINCT FROM OLD.record_sealed AND work.is_retired(NEW.record_sealed)) EXECUTE FUNCTION retired_refuse();
CREATE TRIGGER effects_retired_insert AFTER INSERT ON effects
FOR EACH ROW WHEN (work.is_retired(NEW.outcome_sealed)) EXECUTE FUNCTION retired_refuse();
CREATE TRIGGER effects_retired_update AFTER UPDATE OF outcome_sealed ON effects
FOR EACH ROW WHEN (NEW.outcome_sealed IS DISTINCT FROM OLD.outcome_sealed AND work.is_retired(NEW.outcome_sealed)) EXECUTE FUNCTION retired_refuse();
CREATE TRIGGER custody_retired_insert AFTER INSERT ON custody
FOR EACH ROW WHEN (work.is_retired(NEW.record_sealed)) EXECUTE FUNCTION retired_refuse();
CREATE TRIGGER custody_retired_update AFTER UPDATE OF record_sealed ON custody
FOR EACH ROW WHEN (NEW.record_sealed IS DISTINCT FROM OLD.record_sealed AND work.is_retired(NEW.record_sealed)) EXECUTE FUNCTION retired_refuse();
CREATE TRIGGER tokens_retired_insert AFTER INSERT ON tokens
FOR EACH ROW WHEN (work.is_retired(NEW.token_sealed)) EXECUTE FUNCTION retired_refuse();
CREATE TRIGGER tokens_retired_update AFTER UPDATE OF token_sealed ON tokens
FOR EACH ROW WHEN (NEW.token_sealed IS DISTINCT FROM OLD.token_sealed AND work.is_retired(NEW.token_sealed)) EXECUTE FUNCTION retired_refuse();
CREATE TRIGGER resealed_retired_insert AFTER INSERT ON resealed
FOR EACH ROW WHEN (work.is_retired(NEW.credential_sealed)) EXECUTE FUNCTION retired_refuse();
CREATE TRIGGER resealed_retired_update AFTER UPDATE OF credential_sealed ON resealed
FOR EACH ROW WHEN (NEW.credential_sealed IS DISTINCT FROM OLD.credential_sealed AND work.is_retired(NEW.credential_sealed)) EXECUTE FUNCTION retired_refuse();
