-- When what is past its retention is next looked for in the cell, in microseconds
-- since 1970; 0 for a cell whose namespaces keep everything.
ALTER TABLE cells ADD COLUMN sweep_at INTEGER NOT NULL DEFAULT 0;
CREATE INDEX cells_sweep ON cells (sweep_at) WHERE sweep_at > 0;
