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
