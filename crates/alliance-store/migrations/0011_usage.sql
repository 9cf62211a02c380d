-- What partners' projects use here, and what ours use at partners. Same rules as in 0003.

-- What is known of each resource of a partner's project here, and how many records there are of it.
CREATE TABLE IF NOT EXISTS metered_resources (
    kind       VARCHAR(16) NOT NULL,
    id         VARCHAR(64) NOT NULL,
    cloud_id   VARCHAR(52) NOT NULL,
    project_id VARCHAR(64) NOT NULL,
    user_id    VARCHAR(64),
    region     VARCHAR(255) NOT NULL,
    life       MEDIUMTEXT NOT NULL,
    is_open    BIGINT NOT NULL,
    parts      BIGINT NOT NULL,
    PRIMARY KEY (kind, id)
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;
CREATE INDEX IF NOT EXISTS metered_resources_that_last ON metered_resources (kind, is_open);

-- The lines of a report: what its records are added up by. `line` is a hash of the rest.
CREATE TABLE IF NOT EXISTS usage_lines (
    line       VARCHAR(32) NOT NULL PRIMARY KEY,
    host       VARCHAR(52) NOT NULL,
    home       VARCHAR(52) NOT NULL,
    project_id VARCHAR(255) NOT NULL,
    region     VARCHAR(255) NOT NULL,
    kind       VARCHAR(16) NOT NULL,
    size       VARCHAR(512) NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;

-- What counts. Times are milliseconds; `ended` is null while it lasts.
CREATE TABLE IF NOT EXISTS usage_records (
    host        VARCHAR(52) NOT NULL,
    home        VARCHAR(52) NOT NULL,
    kind        VARCHAR(16) NOT NULL,
    resource_id VARCHAR(255) NOT NULL,
    part        BIGINT NOT NULL,
    line        VARCHAR(32) NOT NULL,
    user_id     VARCHAR(255),
    began       BIGINT NOT NULL,
    ended       BIGINT,
    PRIMARY KEY (host, home, kind, resource_id, part)
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;
-- A report reads nothing else, and in the order in which it adds up.
CREATE INDEX IF NOT EXISTS usage_records_by_line
    ON usage_records (line, resource_id, began, ended);

-- Records for partners, as they became known. Numbers of a partner's have no gap.
CREATE TABLE IF NOT EXISTS usage_outbox (
    cloud_id VARCHAR(52) NOT NULL,
    seq      BIGINT NOT NULL,
    at       BIGINT NOT NULL,
    record   TEXT NOT NULL,
    PRIMARY KEY (cloud_id, seq)
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;

-- The last number that a partner was given and has acknowledged, and the last one of its that is here.
CREATE TABLE IF NOT EXISTS usage_positions (
    cloud_id     VARCHAR(52) NOT NULL PRIMARY KEY,
    noted        BIGINT NOT NULL DEFAULT 0,
    acknowledged BIGINT NOT NULL DEFAULT 0,
    received     BIGINT NOT NULL DEFAULT 0
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;

-- Who does what only one process may do, until when it does so without saying more.
CREATE TABLE IF NOT EXISTS leases (
    name   VARCHAR(32) NOT NULL PRIMARY KEY,
    holder VARCHAR(64) NOT NULL,
    till   BIGINT NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;
