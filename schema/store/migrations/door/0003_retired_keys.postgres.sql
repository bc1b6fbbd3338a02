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
CREATE FUNCTION is_retired(sealed BYTEA) RETURNS boolean LANGUAGE plpgsql STABLE AS
$$ BEGIN RETURN EXISTS (SELECT 1 FROM door.retired_keys WHERE id = substring(sealed FROM 3 FOR 8)); END $$;
CREATE FUNCTION retired_refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'sealed with a retired key' USING ERRCODE = 'TN001'; END $$;
CREATE TRIGGER connections_retired_insert AFTER INSERT ON connections
FOR EACH ROW WHEN (door.is_retired(NEW.settings_sealed)) EXECUTE FUNCTION retired_refuse();
CREATE TRIGGER connections_retired_update AFTER UPDATE OF settings_sealed ON connections
FOR EACH ROW WHEN (NEW.settings_sealed IS DISTINCT FROM OLD.settings_sealed AND door.is_retired(NEW.settings_sealed)) EXECUTE FUNCTION retired_refuse();
CREATE TRIGGER credentials_retired_insert AFTER INSERT ON credentials
FOR EACH ROW WHEN (door.is_retired(NEW.sealed)) EXECUTE FUNCTION retired_refuse();
CREATE TRIGGER credentials_retired_update AFTER UPDATE OF sealed ON credentials
FOR EACH ROW WHEN (NEW.sealed IS DISTINCT FROM OLD.sealed AND door.is_retired(NEW.sealed)) EXECUTE FUNCTION retired_refuse();
CREATE TRIGGER flow_versions_retired_insert AFTER INSERT ON flow_versions
FOR EACH ROW WHEN (door.is_retired(NEW.document_sealed)) EXECUTE FUNCTION retired_refuse();
CREATE TRIGGER flow_versions_retired_update AFTER UPDATE OF document_sealed ON flow_versions
FOR EACH ROW WHEN (NEW.document_sealed IS DISTINCT FROM OLD.document_sealed AND door.is_retired(NEW.document_sealed)) EXECUTE FUNCTION retired_refuse();
CREATE TRIGGER sources_retired_insert AFTER INSERT ON sources
FOR EACH ROW WHEN (door.is_retired(NEW.config_sealed)) EXECUTE FUNCTION retired_refuse();
CREATE TRIGGER sources_retired_update AFTER UPDATE OF config_sealed ON sources
FOR EACH ROW WHEN (NEW.config_sealed IS DISTINCT FROM OLD.config_sealed AND door.is_retired(NEW.config_sealed)) EXECUTE FUNCTION retired_refuse();
CREATE TRIGGER events_retired_insert AFTER INSERT ON events
FOR EACH ROW WHEN (door.is_retired(NEW.payload_sealed)) EXECUTE FUNCTION retired_refuse();
CREATE TRIGGER events_retired_update AFTER UPDATE OF payload_sealed ON events
FOR EACH ROW WHEN (NEW.payload_sealed IS DISTINCT FROM OLD.payload_sealed AND door.is_retired(NEW.payload_sealed)) EXECUTE FUNCTION retired_refuse();
CREATE TRIGGER commands_retired_insert AFTER INSERT ON commands
FOR EACH ROW WHEN (door.is_retired(NEW.args_sealed)) EXECUTE FUNCTION retired_refuse();
CREATE TRIGGER commands_retired_update AFTER UPDATE OF args_sealed ON commands
FOR EACH ROW WHEN (NEW.args_sealed IS DISTINCT FROM OLD.args_sealed AND door.is_retired(NEW.args_sealed)) EXECUTE FUNCTION retired_refuse();
