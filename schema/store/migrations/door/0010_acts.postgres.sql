-- What many entries of the log have in common is kept once. An entry with an act has
-- its namespace and its action from there, its detail if it has none itself, and an id
-- that follows from the rest. An act never changes: it is part of what is hashed.
CREATE TABLE acts (
  act INTEGER GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  namespace TEXT NOT NULL,
  action TEXT NOT NULL,
  detail_sealed BYTEA NOT NULL,
  UNIQUE (namespace, action, detail_sealed)
);
CREATE TRIGGER acts_no_change BEFORE UPDATE OR DELETE ON acts
FOR EACH ROW EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER acts_no_truncate BEFORE TRUNCATE ON acts
FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse();
ALTER TABLE audit ADD COLUMN act INTEGER;
-- Tables to which what rows have in common is only added. The tag is another one, at
-- random, after each addition: a process that has seen it knows what is in them.
CREATE TABLE dictionaries (
  one BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
  tag BIGINT NOT NULL
);
INSERT INTO dictionaries (one, tag) VALUES (1, (random() * 9e15)::bigint);
