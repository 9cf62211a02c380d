-- Two clouds pair once, though both invite. Same rules as in 0003.

-- Counts the pairings that were begun with somebody: who wants to begin one holds this row, so that
-- what else is under way with the same cloud stays as it was read.
REPLACE INTO counters (name, value) VALUES ('pairings', 0);
