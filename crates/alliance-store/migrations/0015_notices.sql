-- What homes are told of their projects here, and what hosts tell of ours. Same rules as in 0003.

-- For partners, in order. Old ones are deleted, so that numbers may begin with any.
CREATE TABLE IF NOT EXISTS notice_outbox (
    cloud_id VARCHAR(52) NOT NULL,
    seq      BIGINT NOT NULL,
    at       BIGINT NOT NULL,
    notice   TEXT NOT NULL,
    PRIMARY KEY (cloud_id, seq)
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;
CREATE INDEX IF NOT EXISTS notice_outbox_by_time ON notice_outbox (at);

-- Conditions that have held, and whether they do. Times are milliseconds.
CREATE TABLE IF NOT EXISTS notice_marks (
    cloud_id VARCHAR(52) NOT NULL,
    mark     VARCHAR(64) NOT NULL,
    holds    BIGINT NOT NULL,
    at       BIGINT NOT NULL,
    PRIMARY KEY (cloud_id, mark)
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;

-- The last number that a partner was given and has acknowledged; the last one of its that is here, how
-- many of its were lost on the way and how many were not believed.
CREATE TABLE IF NOT EXISTS notice_positions (
    cloud_id     VARCHAR(52) NOT NULL PRIMARY KEY,
    noted        BIGINT NOT NULL DEFAULT 0,
    acknowledged BIGINT NOT NULL DEFAULT 0,
    received     BIGINT NOT NULL DEFAULT 0,
    missed       BIGINT NOT NULL DEFAULT 0,
    refused      BIGINT NOT NULL DEFAULT 0
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;

-- What hosts have told, in the order in which it came. `seq` is the host's number, `number` our own.
CREATE TABLE IF NOT EXISTS notices (
    number      BIGINT NOT NULL PRIMARY KEY,
    host        VARCHAR(52) NOT NULL,
    id          VARCHAR(32) NOT NULL,
    seq         BIGINT NOT NULL,
    project_id  VARCHAR(512),
    at          BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    notice      TEXT NOT NULL,
    UNIQUE (host, id)
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;
CREATE INDEX IF NOT EXISTS notices_by_time ON notices (received_at);

-- How far whoever is told further has been told: `webhook`, `bus`. `received` is the last number of all.
CREATE TABLE IF NOT EXISTS notice_deliveries (
    name          VARCHAR(32) NOT NULL PRIMARY KEY,
    number        BIGINT NOT NULL,
    failing_since BIGINT,
    problem       TEXT,
    -- Whether nothing is tried any more.
    is_over       BIGINT NOT NULL DEFAULT 0
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;
