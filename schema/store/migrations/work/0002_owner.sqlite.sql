-- The one row says which process may write here: the epoch of its host's claim.
CREATE TABLE owner (
  one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
  epoch INTEGER NOT NULL
);
INSERT INTO owner (one, epoch) VALUES (1, 0);
-- When a run that waits goes on by itself, in microseconds since 1970.
ALTER TABLE runs ADD COLUMN due_at INTEGER NOT NULL DEFAULT 0;
