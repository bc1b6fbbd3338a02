-- What the organization has set for itself.
CREATE TABLE settings (
  name TEXT NOT NULL PRIMARY KEY,
  value TEXT NOT NULL,
  updated_by TEXT NOT NULL,
  updated_at TIMESTAMP NOT NULL
);
-- What is kept beside the current version, until that one is proven.
CREATE INDEX credentials_previous ON credentials (connection) WHERE state = 'previous';
