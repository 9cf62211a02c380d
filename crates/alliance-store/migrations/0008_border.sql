-- What operators see of the border. Same rules as in 0003.

-- Projects of partners whose users were let in here, as home called them.

CREATE TABLE IF NOT EXISTS guest_projects (
    cloud_id    VARCHAR(52) NOT NULL,
    project_id  VARCHAR(64) NOT NULL,
    name        TEXT,
    domain_name TEXT,
    first_seen  BIGINT NOT NULL,
    last_seen   BIGINT NOT NULL,
    PRIMARY KEY (cloud_id, project_id)
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;

-- When what a partner says of itself, or grants, was last another than before.
ALTER TABLE partners ADD COLUMN /*! IF NOT EXISTS */ changed_at BIGINT;
