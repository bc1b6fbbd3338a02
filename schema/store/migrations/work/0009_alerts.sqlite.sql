-- What people are to be told of, written with what it tells of: ids and counts
-- alone. Times are microseconds since 1970, 0 for none. One row of a kind and
-- subject is pending at a time, and counts.
CREATE TABLE alerts (
  id TEXT NOT NULL PRIMARY KEY,
  namespace TEXT NOT NULL,
  kind TEXT NOT NULL,
  subject TEXT NOT NULL,
  run TEXT NOT NULL,
  count INTEGER NOT NULL,
  state TEXT NOT NULL,
  attempts INTEGER NOT NULL,
  next_at INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  ended_at INTEGER NOT NULL
);
CREATE UNIQUE INDEX alerts_pending ON alerts (kind, subject) WHERE state = 'pending';
CREATE INDEX alerts_due ON alerts (next_at) WHERE state = 'pending';
CREATE INDEX alerts_namespace ON alerts (namespace, id);
CREATE INDEX alerts_subject ON alerts (kind, subject, ended_at);
