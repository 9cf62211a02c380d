-- Galera: whoever relies on a lease changes its row, so that whoever takes it at another node meets that. Same
-- rules as in 0003.

-- How often it was relied on.
ALTER TABLE leases ADD COLUMN /*! IF NOT EXISTS */ held BIGINT NOT NULL DEFAULT 0;
