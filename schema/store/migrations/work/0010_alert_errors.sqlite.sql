-- Why the last attempt told nobody: an error's message, sealed; NULL for none.
ALTER TABLE alerts ADD COLUMN error_sealed BLOB;
CREATE TRIGGER alerts_retired_insert AFTER INSERT ON alerts
WHEN EXISTS (SELECT 1 FROM retired_keys WHERE id = substr(NEW.error_sealed, 3, 8))
BEGIN SELECT RAISE(ABORT, 'sealed with a retired key'); END;
CREATE TRIGGER alerts_retired_update AFTER UPDATE OF error_sealed ON alerts
WHEN NEW.error_sealed IS NOT OLD.error_sealed AND EXISTS (SELECT 1 FROM retired_keys WHERE id = substr(NEW.error_sealed, 3, 8))
BEGIN SELECT RAISE(ABORT, 'sealed with a retired key'); END;
