ALTER TABLE runs ADD COLUMN order_key TEXT NOT NULL DEFAULT '';
-- Of the runs of one key the first goes on, and the others wait for it; an
-- uncertain one is waited for, too.
CREATE INDEX runs_ordered ON runs (order_key, seq) WHERE order_key <> '' AND (ended_at = 0 OR state = 'uncertain');
