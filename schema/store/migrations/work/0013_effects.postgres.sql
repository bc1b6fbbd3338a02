-- An effect's key that follows from its run is left out, and so is the owner of one that
-- is done: a binary of before would send an empty key. The table stays as it is.
SELECT 1;
