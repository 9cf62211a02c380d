-- Same rules as in 0001: one text for both databases, every statement can be run again.

-- The keys with which this cloud's Keystone signs tokens, and those with which it did.
CREATE TABLE IF NOT EXISTS token_keys (
    id      VARCHAR(64) NOT NULL PRIMARY KEY,
    family  VARCHAR(16) NOT NULL,
    der     MEDIUMTEXT NOT NULL,
    seen_at BIGINT NOT NULL,
    gone_at BIGINT
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;
