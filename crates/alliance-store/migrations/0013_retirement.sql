-- What becomes of partners' projects here when nobody answers for them, and of ours there. Same rules
-- as in 0003.

-- What was last known of a partner's project: whether an agreement kept it, the graces that it gave,
-- and what home said of it when it was last asked.
CREATE TABLE IF NOT EXISTS guest_standings (
    cloud_id         VARCHAR(52) NOT NULL,
    project_id       VARCHAR(64) NOT NULL,
    is_kept          BIGINT NOT NULL,
    quarantine_after BIGINT NOT NULL,
    delete_after     BIGINT NOT NULL,
    standing         VARCHAR(16),
    asked_at         BIGINT,
    PRIMARY KEY (cloud_id, project_id)
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;

-- The daemon says what is to be done (phase, dates), `alliance work` what of it is (quarantined_at,
-- remainder, report).
CREATE TABLE IF NOT EXISTS retirements (
    id               VARCHAR(36) NOT NULL PRIMARY KEY,
    cloud_id         VARCHAR(52) NOT NULL,
    project_id       VARCHAR(64) NOT NULL,
    -- One at a time for each project; null when it is over.
    live_key         VARCHAR(128) UNIQUE,
    cause            VARCHAR(32) NOT NULL,
    phase            VARCHAR(32) NOT NULL,
    began            BIGINT NOT NULL,
    quarantine_after BIGINT NOT NULL,
    delete_after     BIGINT NOT NULL,
    quarantine_at    BIGINT NOT NULL,
    delete_at        BIGINT,
    quarantined_at   BIGINT,
    is_held          BIGINT NOT NULL DEFAULT 0,
    -- Since when home's word is waited for.
    waits_since      BIGINT,
    -- When the service's last said no, how many things are left, and when they are tried again.
    remainder        BIGINT NOT NULL DEFAULT 0,
    attempts         BIGINT NOT NULL DEFAULT 0,
    try_at           BIGINT NOT NULL DEFAULT 0,
    -- Whether there is something that home has not been given a receipt for.
    to_report        BIGINT NOT NULL DEFAULT 0,
    revision         BIGINT NOT NULL DEFAULT 0,
    ended_at         BIGINT
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;
CREATE INDEX IF NOT EXISTS retirements_of_projects ON retirements (cloud_id, project_id);

-- What was done to each resource. Written before it is done, and again after.
CREATE TABLE IF NOT EXISTS retirement_items (
    retirement_id VARCHAR(36) NOT NULL,
    kind          VARCHAR(32) NOT NULL,
    id            VARCHAR(255) NOT NULL,
    name          TEXT,
    state         VARCHAR(16) NOT NULL,
    -- Why it is still there, or what is needed to undo it.
    detail        TEXT,
    PRIMARY KEY (retirement_id, kind, id)
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;

-- Receipts: of this cloud for homes, and of hosts for this cloud. Numbers of a pair have no gap.
CREATE TABLE IF NOT EXISTS retirement_receipts (
    host          VARCHAR(52) NOT NULL,
    home          VARCHAR(52) NOT NULL,
    seq           BIGINT NOT NULL,
    retirement_id VARCHAR(36) NOT NULL,
    receipt       MEDIUMTEXT NOT NULL,
    -- As the host signed it.
    signed        MEDIUMTEXT,
    PRIMARY KEY (host, home, seq)
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;

-- How far each home has taken in what it was given, and why not further.
CREATE TABLE IF NOT EXISTS receipt_positions (
    home         VARCHAR(52) NOT NULL PRIMARY KEY,
    acknowledged BIGINT NOT NULL,
    refusal      TEXT
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;
