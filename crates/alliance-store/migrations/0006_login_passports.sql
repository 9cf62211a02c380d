-- How users log in at a partner, and which login passports were used here. Same rules as in 0003.

ALTER TABLE invitations ADD COLUMN /*! IF NOT EXISTS */ login VARCHAR(16) NOT NULL DEFAULT 'both';
ALTER TABLE acceptances ADD COLUMN /*! IF NOT EXISTS */ login VARCHAR(16) NOT NULL DEFAULT 'both';

CREATE TABLE IF NOT EXISTS used_passports (
    cloud_id   VARCHAR(52) NOT NULL,
    jti        VARCHAR(64) NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (cloud_id, jti)
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;
CREATE INDEX IF NOT EXISTS used_passports_by_expiry ON used_passports (expires_at);
