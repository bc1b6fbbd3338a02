-- Operators' tokens that were made by then are revoked.
ALTER TABLE organizations ADD COLUMN tokens_not_before TIMESTAMPTZ;
CREATE INDEX organizations_tokens ON organizations (tokens_not_before) WHERE tokens_not_before IS NOT NULL;
-- What is being deleted is found without reading what is not.
CREATE INDEX organizations_deleting ON organizations (id) WHERE state = 'deleting';
