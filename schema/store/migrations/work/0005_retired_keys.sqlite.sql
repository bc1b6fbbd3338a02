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
-- Credentials that the cell sealed anew to the pair that follows, until the API
-- has taken them over. Replaces is SHA-256 of what they were made from.
CREATE TABLE resealed (
  connection TEXT NOT NULL,
  version INTEGER NOT NULL,
  replaces BLOB NOT NULL,
  credential_sealed BLOB NOT NULL,
  PRIMARY KEY (connection, version)
);
CREATE TRIGGER runs_retired_insert AFTER INSERT ON runs
WHEN EXISTS (SELECT 1 FROM retired_keys WHERE id = substr(NEW.result_sealed, 3, 8))
BEGIN SELECT RAISE(ABORT, 'sealed with a retired key'); END;
CREATE TRIGGER runs_retired_update AFTER UPDATE OF result_sealed ON runs
WHEN NEW.result_sealed IS NOT OLD.result_sealed AND EXISTS (SELECT 1 FROM retired_keys WHERE id = substr(NEW.result_sealed, 3, 8))
BEGIN SELECT RAISE(ABORT, 'sealed with a retired key'); END;
CREATE TRIGGER steps_retired_insert AFTER INSERT ON steps
WHEN EXISTS (SELECT 1 FROM retired_keys WHERE id = substr(NEW.record_sealed, 3, 8))
BEGIN SELECT RAISE(ABORT, 'sealed with a retired key'); END;
CREATE TRIGGER steps_retired_update AFTER UPDATE OF record_sealed ON steps
WHEN NEW.record_sealed IS NOT OLD.record_sealed AND EXISTS (SELECT 1 FROM retired_keys WHERE id = substr(NEW.record_sealed, 3, 8))
BEGIN SELECT RAISE(ABORT, 'sealed with a retired key'); END;
CREATE TRIGGER effects_retired_insert AFTER INSERT ON effects
WHEN EXISTS (SELECT 1 FROM retired_keys WHERE id = substr(NEW.outcome_sealed, 3, 8))
BEGIN SELECT RAISE(ABORT, 'sealed with a retired key'); END;
CREATE TRIGGER effects_retired_update AFTER UPDATE OF outcome_sealed ON effects
WHEN NEW.outcome_sealed IS NOT OLD.outcome_sealed AND EXISTS (SELECT 1 FROM retired_keys WHERE id = substr(NEW.outcome_sealed, 3, 8))
BEGIN SELECT RAISE(ABORT, 'sealed with a retired key'); END;
CREATE TRIGGER custody_retired_insert AFTER INSERT ON custody
WHEN EXISTS (SELECT 1 FROM retired_keys WHERE id = substr(NEW.record_sealed, 3, 8))
BEGIN SELECT RAISE(ABORT, 'sealed with a retired key'); END;
CREATE TRIGGER custody_retired_update AFTER UPDATE OF record_sealed ON custody
WHEN NEW.record_sealed IS NOT OLD.record_sealed AND EXISTS (SELECT 1 FROM retired_keys WHERE id = substr(NEW.record_sealed, 3, 8))
BEGIN SELECT RAISE(ABORT, 'sealed with a retired key'); END;
CREATE TRIGGER tokens_retired_insert AFTER INSERT ON tokens
WHEN EXISTS (SELECT 1 FROM retired_keys WHERE id = substr(NEW.token_sealed, 3, 8))
BEGIN SELECT RAISE(ABORT, 'sealed with a retired key'); END;
CREATE TRIGGER tokens_retired_update AFTER UPDATE OF token_sealed ON tokens
WHEN NEW.token_sealed IS NOT OLD.token_sealed AND EXISTS (SELECT 1 FROM retired_keys WHERE id = substr(NEW.token_sealed, 3, 8))
BEGIN SELECT RAISE(ABORT, 'sealed with a retired key'); END;
CREATE TRIGGER resealed_retired_insert AFTER INSERT ON resealed
WHEN EXISTS (SELECT 1 FROM retired_keys WHERE id = substr(NEW.credential_sealed, 3, 8))
BEGIN SELECT RAISE(ABORT, 'sealed with a retired key'); END;
CREATE TRIGGER resealed_retired_update AFTER UPDATE OF credential_sealed ON resealed
WHEN NEW.credential_sealed IS NOT OLD.credential_sealed AND EXISTS (SELECT 1 FROM retired_keys WHERE id = substr(NEW.credential_sealed, 3, 8))
BEGIN SELECT RAISE(ABORT, 'sealed with a retired key'); END;
