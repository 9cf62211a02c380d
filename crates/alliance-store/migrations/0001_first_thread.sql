-- One text for both databases: what stands between /*! and */ is read by MariaDB only.
-- Every statement can be run again, since MariaDB cannot roll back a CREATE TABLE.
-- The collation compares byte by byte, as SQLite does; without `nopad`, 'a' equals 'a '.

CREATE TABLE IF NOT EXISTS counters (
    name  VARCHAR(32) NOT NULL PRIMARY KEY,
    value BIGINT NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;

REPLACE INTO counters (name, value) VALUES ('generation', 0);

-- Who holds an alias: `partner:ID`, `invitation:ID` or `acceptance:ID`. In lower case, since
-- Keystone's names differ by more than case.
CREATE TABLE IF NOT EXISTS aliases (
    alias  VARCHAR(64) NOT NULL PRIMARY KEY,
    holder VARCHAR(64) NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;

-- live_cloud_id and live_tag are null for removed partners: unique among the others only.
CREATE TABLE IF NOT EXISTS partners (
    id            VARCHAR(36) NOT NULL PRIMARY KEY,
    cloud_id      VARCHAR(52) NOT NULL,
    live_cloud_id VARCHAR(52) UNIQUE,
    live_tag      VARCHAR(8) UNIQUE,
    name          VARCHAR(64) NOT NULL,
    role          VARCHAR(16) NOT NULL,
    status        VARCHAR(16) NOT NULL,
    peer_url      TEXT NOT NULL,
    trust_since   BIGINT,
    trust_till    BIGINT,
    max_users     BIGINT,
    max_projects  BIGINT,
    created_at    BIGINT NOT NULL,
    removed_at    BIGINT,
    descriptor    MEDIUMTEXT NOT NULL,
    claims        MEDIUMTEXT NOT NULL,
    their_status  VARCHAR(16),
    last_seen     BIGINT,
    last_error    TEXT,
    received      MEDIUMTEXT NOT NULL,
    received_etag TEXT
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;

-- live_key is `PARTNER ID/PROJECT` until the agreement ends.
CREATE TABLE IF NOT EXISTS agreements (
    id             VARCHAR(36) NOT NULL PRIMARY KEY,
    partner_id     VARCHAR(36) NOT NULL,
    live_key       VARCHAR(128) UNIQUE,
    project_id     VARCHAR(64) NOT NULL,
    project_name   TEXT,
    project_domain TEXT,
    roles          TEXT NOT NULL,
    services       TEXT,
    transitive     BIGINT NOT NULL,
    since          BIGINT NOT NULL,
    till           BIGINT,
    ended_at       BIGINT,
    FOREIGN KEY (partner_id) REFERENCES partners (id)
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;

-- The inviter's side.
CREATE TABLE IF NOT EXISTS invitations (
    id            VARCHAR(36) NOT NULL PRIMARY KEY,
    name          VARCHAR(64) NOT NULL,
    role          VARCHAR(16) NOT NULL,
    secret_sha256 VARCHAR(64) NOT NULL,
    expected      VARCHAR(52),
    trust_till    BIGINT,
    created_at    BIGINT NOT NULL,
    expires_at    BIGINT NOT NULL,
    state         VARCHAR(16) NOT NULL,
    acceptor      VARCHAR(52),
    accepted_at   BIGINT,
    descriptor    MEDIUMTEXT,
    claims        MEDIUMTEXT,
    decided_at    BIGINT
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;

-- The acceptor's side. The secret is kept while it is needed to ask the inviter.
CREATE TABLE IF NOT EXISTS acceptances (
    id         VARCHAR(36) NOT NULL PRIMARY KEY,
    name       VARCHAR(64) NOT NULL,
    role       VARCHAR(16) NOT NULL,
    inviter    VARCHAR(52) NOT NULL,
    url        TEXT NOT NULL,
    secret     VARCHAR(255),
    trust_till BIGINT,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    state      VARCHAR(16) NOT NULL,
    descriptor MEDIUMTEXT NOT NULL,
    claims     MEDIUMTEXT NOT NULL,
    decided_at BIGINT
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;

-- Hashes of partners' tokens that were let in here: what to drop from the services' caches.
CREATE TABLE IF NOT EXISTS seen_tokens (
    token_sha256 VARCHAR(64) NOT NULL PRIMARY KEY,
    cloud_id     VARCHAR(52) NOT NULL,
    user_id      VARCHAR(64) NOT NULL,
    project_id   VARCHAR(64),
    expires_at   BIGINT NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;
CREATE INDEX IF NOT EXISTS seen_tokens_of_cloud ON seen_tokens (cloud_id, expires_at);
CREATE INDEX IF NOT EXISTS seen_tokens_by_expiry ON seen_tokens (expires_at);

CREATE TABLE IF NOT EXISTS audit (
    seq     INTEGER NOT NULL PRIMARY KEY /*! AUTO_INCREMENT */,
    at      BIGINT NOT NULL,
    actor   TEXT NOT NULL,
    action  VARCHAR(64) NOT NULL,
    subject TEXT NOT NULL,
    detail  TEXT NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;
