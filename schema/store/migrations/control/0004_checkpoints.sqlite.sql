-- Whom an act concerns; an entry without it is hashed as before.
ALTER TABLE audit ADD COLUMN organization TEXT NOT NULL DEFAULT '';
-- The signed checkpoints over the chains of an organization, and with the empty
-- one over this database's own.
CREATE TABLE checkpoints (
  organization TEXT NOT NULL,
  seq INTEGER NOT NULL,
  document TEXT NOT NULL,
  PRIMARY KEY (organization, seq)
);
CREATE TRIGGER checkpoints_no_update BEFORE UPDATE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only'); END;
CREATE TRIGGER checkpoints_no_delete BEFORE DELETE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only'); END;
