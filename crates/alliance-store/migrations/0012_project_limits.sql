-- What services of this cloud allow partners' projects, and how much of it is used, as last seen. Same
-- rules as in 0003. `problem` is why it was not seen or not set.
CREATE TABLE IF NOT EXISTS project_limits (
    cloud_id   VARCHAR(52) NOT NULL,
    project_id VARCHAR(255) NOT NULL,
    region     VARCHAR(255) NOT NULL,
    limits     TEXT NOT NULL,
    problem    TEXT,
    at         BIGINT NOT NULL,
    PRIMARY KEY (cloud_id, project_id, region)
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;
