-- Replacements of the keys of a cell, one at a time for each.
CREATE TABLE rotations (
  id TEXT NOT NULL PRIMARY KEY,
  organization TEXT NOT NULL REFERENCES organizations (id),
  kind TEXT NOT NULL,
  state TEXT NOT NULL,
  waits_for TEXT NOT NULL,
  requested_by TEXT NOT NULL,
  requested_at TIMESTAMP NOT NULL,
  updated_at TIMESTAMP NOT NULL
);
CREATE UNIQUE INDEX rotations_open ON rotations (organization) WHERE state <> 'done';
CREATE INDEX rotations_organization ON rotations (organization, id);
