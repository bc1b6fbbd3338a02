-- When the schedules of all cells are next looked at, the time that each is due
-- then, and when the row in its cell was written that this was made from; in
-- microseconds since 1970, 0 while that is not known. What a schedule does stands
-- in its cell.
CREATE TABLE timers (
  schedule TEXT NOT NULL PRIMARY KEY,
  organization TEXT NOT NULL REFERENCES organizations (id),
  made_at INTEGER NOT NULL,
  due_at INTEGER NOT NULL,
  look_at INTEGER NOT NULL,
  event TEXT NOT NULL
);
CREATE INDEX timers_look ON timers (look_at);
CREATE INDEX timers_organization ON timers (organization);
