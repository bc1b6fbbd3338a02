-- Where each namespace's alerts are sent, and how they are signed.
CREATE TABLE alert_targets (
  namespace TEXT NOT NULL PRIMARY KEY REFERENCES namespaces (id),
  config_sealed BLOB NOT NULL,
  updated_at TIMESTAMP NOT NULL
);
CREATE TRIGGER alert_targets_retired_insert AFTER INSERT ON alert_targets
WHEN EXISTS (SELECT 1 FROM retired_keys WHERE id = substr(NEW.config_sealed, 3, 8))
BEGIN SELECT RAISE(ABORT, 'sealed with a retired key'); END;
CREATE TRIGGER alert_targets_retired_update AFTER UPDATE OF config_sealed ON alert_targets
WHEN NEW.config_sealed IS NOT OLD.config_sealed AND EXISTS (SELECT 1 FROM retired_keys WHERE id = substr(NEW.config_sealed, 3, 8))
BEGIN SELECT RAISE(ABORT, 'sealed with a retired key'); END;
-- What a schedule made last.
CREATE INDEX events_scheduled ON events (source, seq) WHERE kind = 'schedule';
