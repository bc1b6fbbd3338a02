-- Data keys that nothing is sealed with anymore: since when, since when nothing
-- is left under them that opens, and how many values are that do not. A process that
-- was away writes nothing under such a key: it is about to be destroyed.
CREATE TABLE retired_keys (
  id BLOB NOT NULL PRIMARY KEY,
  kind TEXT NOT NULL,
  at INTEGER NOT NULL,
  clean_at INTEGER NOT NULL,
  broken INTEGER NOT NULL
);
CREATE TRIGGER connections_retired_insert AFTER INSERT ON connections
WHEN EXISTS (SELECT 1 FROM retired_keys WHERE id = substr(NEW.settings_sealed, 3, 8))
BEGIN SELECT RAISE(ABORT, 'sealed with a retired key'); END;
CREATE TRIGGER connections_retired_update AFTER UPDATE OF settings_sealed ON connections
WHEN NEW.settings_sealed IS NOT OLD.settings_sealed AND EXISTS (SELECT 1 FROM retired_keys WHERE id = substr(NEW.settings_sealed, 3, 8))
BEGIN SELECT RAISE(ABORT, 'sealed with a retired key'); END;
CREATE TRIGGER credentials_retired_insert AFTER INSERT ON credentials
WHEN EXISTS (SELECT 1 FROM retired_keys WHERE id = substr(NEW.sealed, 3, 8))
BEGIN SELECT RAISE(ABORT, 'sealed with a retired key'); END;
CREATE TRIGGER credentials_retired_update AFTER UPDATE OF sealed ON credentials
WHEN NEW.sealed IS NOT OLD.sealed AND EXISTS (SELECT 1 FROM retired_keys WHERE id = substr(NEW.sealed, 3, 8))
BEGIN SELECT RAISE(ABORT, 'sealed with a retired key'); END;
CREATE TRIGGER flow_versions_retired_insert AFTER INSERT ON flow_versions
WHEN EXISTS (SELECT 1 FROM retired_keys WHERE id = substr(NEW.document_sealed, 3, 8))
BEGIN SELECT RAISE(ABORT, 'sealed with a retired key'); END;
CREATE TRIGGER flow_versions_retired_update AFTER UPDATE OF document_sealed ON flow_versions
WHEN NEW.document_sealed IS NOT OLD.document_sealed AND EXISTS (SELECT 1 FROM retired_keys WHERE id = substr(NEW.document_sealed, 3, 8))
BEGIN SELECT RAISE(ABORT, 'sealed with a retired key'); END;
CREATE TRIGGER sources_retired_insert AFTER INSERT ON sources
WHEN EXISTS (SELECT 1 FROM retired_keys WHERE id = substr(NEW.config_sealed, 3, 8))
BEGIN SELECT RAISE(ABORT, 'sealed with a retired key'); END;
CREATE TRIGGER sources_retired_update AFTER UPDATE OF config_sealed ON sources
WHEN NEW.config_sealed IS NOT OLD.config_sealed AND EXISTS (SELECT 1 FROM retired_keys WHERE id = substr(NEW.config_sealed, 3, 8))
BEGIN SELECT RAISE(ABORT, 'sealed with a retired key'); END;
CREATE TRIGGER events_retired_insert AFTER INSERT ON events
WHEN EXISTS (SELECT 1 FROM retired_keys WHERE id = substr(NEW.payload_sealed, 3, 8))
BEGIN SELECT RAISE(ABORT, 'sealed with a retired key'); END;
CREATE TRIGGER events_retired_update AFTER UPDATE OF payload_sealed ON events
WHEN NEW.payload_sealed IS NOT OLD.payload_sealed AND EXISTS (SELECT 1 FROM retired_keys WHERE id = substr(NEW.payload_sealed, 3, 8))
BEGIN SELECT RAISE(ABORT, 'sealed with a retired key'); END;
CREATE TRIGGER commands_retired_insert AFTER INSERT ON commands
WHEN EXISTS (SELECT 1 FROM retired_keys WHERE id = substr(NEW.args_sealed, 3, 8))
BEGIN SELECT RAISE(ABORT, 'sealed with a retired key'); END;
CREATE TRIGGER commands_retired_update AFTER UPDATE OF args_sealed ON commands
WHEN NEW.args_sealed IS NOT OLD.args_sealed AND EXISTS (SELECT 1 FROM retired_keys WHERE id = substr(NEW.args_sealed, 3, 8))
BEGIN SELECT RAISE(ABORT, 'sealed with a retired key'); END;
