-- An effect's key that follows from its run is left out, and so is the owner of one that
-- is done: a binary of before would send an empty key.
ALTER TABLE effects ALTER COLUMN epoch TYPE INTEGER, ALTER COLUMN attempts TYPE INTEGER;
