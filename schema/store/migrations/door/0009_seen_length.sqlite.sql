-- As on PostgreSQL, where a key's length was not looked at before. What programs of
-- before wrote is read as ever, but they cannot read what is written now, packed and
-- named, and are refused from here on.
SELECT 1;
