-- A cell that is asleep has no host and no process. Its wake_at is when it must
-- run again by itself; touches counts the marks that its door was written to.
ALTER TABLE cells ADD COLUMN asleep BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE cells ADD COLUMN touches INTEGER NOT NULL DEFAULT 0;
