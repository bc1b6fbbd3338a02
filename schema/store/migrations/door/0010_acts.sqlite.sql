-- What many entries of the log have in common is kept once. An entry with an act has
-- its namespace and its action from there, its detail if it has none itself, and an id
-- that follows from the rest. An act never changes: it is part of what is hashed.
CREATE TABLE acts (
  act INTEGER PRIMARY KEY,
  namespace TEXT NOT NULL,
  action TEXT NOT NULL,
  detail_sealed BLOB NOT NULL,
  UNIQUE (namespace, action, detail_sealed)
);
CREATE TRIGGER acts_no_update BEFORE UPDATE ON acts
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER acts_no_delete BEFORE DELETE ON acts
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
ALTER TABLE audit ADD COLUMN act INTEGER;
-- Tables to which what rows have in common is only added. The tag is another one, at
-- random, after each addition: a process that has seen it knows what is in them.
CREATE TABLE dictionaries (
  one BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
  tag BIGINT NOT NULL
);
INSERT INTO dictionaries (one, tag) VALUES (1, random());
