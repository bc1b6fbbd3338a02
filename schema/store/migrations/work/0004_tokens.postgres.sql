-- OAuth2 tokens, one row for each version of a connection's credential. Times
-- are microseconds since 1970, 0 for none. A row with a refresher is being
-- refreshed since begun_at: nobody else sends the refresh token meanwhile.
CREATE TABLE tokens (
  connection TEXT NOT NULL,
  version BIGINT NOT NULL,
  generation BIGINT NOT NULL,
  refresher TEXT NOT NULL,
  begun_at BIGINT NOT NULL,
  updated_at BIGINT NOT NULL,
  token_sealed BYTEA NOT NULL,
  PRIMARY KEY (connection, version)
);
