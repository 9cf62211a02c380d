-- What has ended here, for hosts, and what each of them has heard. Same rules as in 0001.

CREATE TABLE IF NOT EXISTS sign_outs (
    seq    INTEGER NOT NULL PRIMARY KEY /*! AUTO_INCREMENT */,
    -- Of an event that Keystone lists again and again; null for what is said once.
    digest VARCHAR(64),
    what   TEXT NOT NULL,
    at     BIGINT NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;
CREATE UNIQUE INDEX IF NOT EXISTS sign_outs_by_digest ON sign_outs (digest);
CREATE INDEX IF NOT EXISTS sign_outs_by_time ON sign_outs (at);

CREATE TABLE IF NOT EXISTS heard_sign_outs (
    cloud_id VARCHAR(52) NOT NULL PRIMARY KEY,
    seq      BIGINT NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;
