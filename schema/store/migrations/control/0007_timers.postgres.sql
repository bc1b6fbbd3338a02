-- When the schedules of all cells are next looked at, the time that each is due
-- then, and when the row in its cell was written that this was made from; in
-- microseconds since 1970, 0 while that is not known. What a schedule does stands
-- in its cell. left_count are the times that were left out since left_at, when
-- such were last put on record.
CREATE TABLE timers (
  schedule TEXT NOT NULL PRIMARY KEY,
  organization TEXT NOT NULL REFERENCES organizations (id),
  made_at BIGINT NOT NULL DEFAULT 0,
  due_at BIGINT NOT NULL DEFAULT 0,
  look_at BIGINT NOT NULL,
  left_count BIGINT NOT NULL DEFAULT 0,
  left_at BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX timers_look ON timers (look_at);
CREATE INDEX timers_organization ON timers (organization);
