-- Why the last attempt told nobody: an error's message, sealed; NULL for none.
ALTER TABLE alerts ADD COLUMN error_sealed BYTEA;
CREATE TRIGGER alerts_retired_insert AFTER INSERT ON alerts
FOR EACH ROW WHEN (work.is_retired(NEW.error_sealed)) EXECUTE FUNCTION retired_refuse();
CREATE TRIGGER alerts_retired_update AFTER UPDATE OF error_sealed ON alerts
FOR EACH ROW WHEN (NEW.error_sealed IS DISTINCT FROM OLD.error_sealed AND work.is_retired(NEW.error_sealed)) EXECUTE FUNCTION retired_refuse();
