-- OAuth2 tokens, one row for each version of a connection's credential. Times
-- are microseconds since 1970, 0 for none. A row with a refresher is being
-- refreshed since begun_at: nobody else sends the refresh token meanwhile.
CREATE TABLE tokens (
  connection TEXT NOT NULL,
  version INTEGER NOT NULL,
  generation INTEGER NOT NULL,
  refresher TEXT NOT NULL,
  begun_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  token_sealed BLOB NOT NULL,
  PRIMARY KEY (connection, version)
);
