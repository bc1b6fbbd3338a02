-- How long the wait is that ends at due_at, in microseconds: what a clock that was ahead has
-- reckoned is over after that time. 0 where it is not known, as in a row of before.
ALTER TABLE runs ADD COLUMN waits_for BIGINT NOT NULL DEFAULT 0;
