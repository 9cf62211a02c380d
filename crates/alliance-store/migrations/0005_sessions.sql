-- Which session a token belongs to, and which sessions have ended. Same rules as in 0003.

-- The audit id that our Keystone gives the partner's token; tokens made from it have the same.
ALTER TABLE seen_tokens ADD COLUMN /*! IF NOT EXISTS */ session VARCHAR(32);
-- What changes at home are compared with. Null for tokens made here.
ALTER TABLE seen_tokens ADD COLUMN /*! IF NOT EXISTS */ origin TEXT;
CREATE INDEX IF NOT EXISTS seen_tokens_of_session ON seen_tokens (session);

CREATE TABLE IF NOT EXISTS ended_sessions (
    session    VARCHAR(32) NOT NULL PRIMARY KEY,
    cloud_id   VARCHAR(52) NOT NULL,
    user_id    VARCHAR(64) NOT NULL,
    expires_at BIGINT NOT NULL,
    told       BIGINT NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;
CREATE INDEX IF NOT EXISTS ended_sessions_by_expiry ON ended_sessions (expires_at);
