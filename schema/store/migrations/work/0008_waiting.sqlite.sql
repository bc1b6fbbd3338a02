-- A pending run without a carrier waits for one: for its turn among the runs of
-- its key, for its flow's share of what the cell works on, or for the flow's own
-- limit. Such a one leaves the index of those that are worked on.
UPDATE runs SET carrier = '' WHERE order_key <> '' AND state = 'pending' AND ended_at = 0;
DROP INDEX runs_open;
CREATE INDEX runs_open ON runs (seq) WHERE ended_at = 0 AND carrier <> '';
CREATE INDEX runs_waiting ON runs (flow, seq) WHERE ended_at = 0 AND carrier = '';
