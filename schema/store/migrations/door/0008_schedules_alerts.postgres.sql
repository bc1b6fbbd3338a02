-- Where each namespace's alerts are sent, and how they are signed.
CREATE TABLE alert_targets (
  namespace TEXT NOT NULL PRIMARY KEY REFERENCES namespaces (id),
  config_sealed BYTEA NOT NULL,
  updated_at TIMESTAMPTZ NOT NULL
);
CREATE TRIGGER alert_targets_retired_insert AFTER INSERT ON alert_targets
FOR EACH ROW WHEN (door.is_retired(NEW.config_sealed)) EXECUTE FUNCTION retired_refuse();
CREATE TRIGGER alert_targets_retired_update AFTER UPDATE OF config_sealed ON alert_targets
FOR EACH ROW WHEN (NEW.config_sealed IS DISTINCT FROM OLD.config_sealed AND door.is_retired(NEW.config_sealed)) EXECUTE FUNCTION retired_refuse();
-- What a schedule made last.
CREATE INDEX events_scheduled ON events (source, seq) WHERE kind = 'schedule';
