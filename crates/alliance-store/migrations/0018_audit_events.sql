-- Audit events that wait until they are said on the message bus. Same rules as in 0003.

-- `at` is in milliseconds.
CREATE TABLE IF NOT EXISTS audit_events (
    id    VARCHAR(36) NOT NULL PRIMARY KEY,
    at    BIGINT NOT NULL,
    event TEXT NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;
CREATE INDEX IF NOT EXISTS audit_events_by_time ON audit_events (at);
