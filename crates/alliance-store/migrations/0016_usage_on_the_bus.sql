-- What is said of usage on home's message bus. Same rules as in 0003.

-- In which order records of hosts came, or changed last, and when; null for our own and for what came
-- before. `notice_deliveries` has in `bus_usage` how far it was said, in `received_usage` the last number.
ALTER TABLE usage_records ADD COLUMN /*! IF NOT EXISTS */ arrival BIGINT;
ALTER TABLE usage_records ADD COLUMN /*! IF NOT EXISTS */ arrived_at BIGINT;
CREATE INDEX IF NOT EXISTS usage_records_by_arrival ON usage_records (arrival, arrived_at);
