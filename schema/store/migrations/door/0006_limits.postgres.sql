-- How many runs of a flow are worked on at a time; 0 for no limit of its own.
ALTER TABLE flows ADD COLUMN max_runs INTEGER NOT NULL DEFAULT 0;
