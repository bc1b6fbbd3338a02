-- What the cell knows of a connection's credential: which versions may not be
-- used any more, what the test call showed, and why nothing is sent. It stands
-- on this side because the other one is what is doubted.
CREATE TABLE custody (
  connection TEXT NOT NULL PRIMARY KEY,
  namespace TEXT NOT NULL,
  used_at INTEGER NOT NULL,
  record_sealed BLOB NOT NULL
);
