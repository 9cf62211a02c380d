-- Several instances of a daemon: what they tell each other, and which there are. Same rules as in 0003.

-- The last number that a bulletin was given; whoever writes one locks it first.
REPLACE INTO counters (name, value) VALUES ('bulletins', 0);

-- Numbers have no gap, and are in the order in which they became visible.
CREATE TABLE IF NOT EXISTS bulletins (
    seq    BIGINT NOT NULL PRIMARY KEY,
    at     BIGINT NOT NULL,
    author VARCHAR(64) NOT NULL,
    what   MEDIUMTEXT NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;
CREATE INDEX IF NOT EXISTS bulletins_by_time ON bulletins (at);

-- `clock`: how far an instance's clock was ahead of the database's when it last said something, in seconds.
CREATE TABLE IF NOT EXISTS instances (
    name       VARCHAR(64) NOT NULL PRIMARY KEY,
    process    VARCHAR(64) NOT NULL,
    version    VARCHAR(32) NOT NULL,
    started_at BIGINT NOT NULL,
    seen_at    BIGINT NOT NULL,
    clock      BIGINT NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;

-- When a token was noted, by the database's clock; null for what came before.
ALTER TABLE seen_tokens ADD COLUMN /*! IF NOT EXISTS */ noted_at BIGINT;
CREATE INDEX IF NOT EXISTS seen_tokens_by_note ON seen_tokens (noted_at);
