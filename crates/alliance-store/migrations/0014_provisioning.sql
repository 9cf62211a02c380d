-- What projects want to have at partners, and what partners' projects have here. Same rules as in 0003.

-- Orders that this cloud gave, as it signed them. `heard_at` is null until the host has answered;
-- `refused` is its reason if it does not carry the order out.
CREATE TABLE IF NOT EXISTS provision_orders (
    id         VARCHAR(36) NOT NULL PRIMARY KEY,
    cloud_id   VARCHAR(52) NOT NULL,
    project_id VARCHAR(64) NOT NULL,
    stack      VARCHAR(64) NOT NULL,
    number     BIGINT NOT NULL,
    action     VARCHAR(16) NOT NULL,
    signed     MEDIUMTEXT NOT NULL,
    given_at   BIGINT NOT NULL,
    given_by   TEXT NOT NULL,
    heard_at   BIGINT,
    refused    TEXT,
    UNIQUE (cloud_id, project_id, stack, number)
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;

-- What partners have ordered here: the last order for each stack, as it was signed.
CREATE TABLE IF NOT EXISTS provision_stacks (
    id         VARCHAR(36) NOT NULL PRIMARY KEY,
    cloud_id   VARCHAR(52) NOT NULL,
    project_id VARCHAR(64) NOT NULL,
    name       VARCHAR(64) NOT NULL,
    number     BIGINT NOT NULL,
    order_id   VARCHAR(36) NOT NULL,
    action     VARCHAR(16) NOT NULL,
    signed     MEDIUMTEXT NOT NULL,
    ordered_at BIGINT NOT NULL,
    -- The order to give it up, if there is one.
    cancel_id  VARCHAR(36),
    cancel     MEDIUMTEXT,
    state      VARCHAR(16) NOT NULL,
    -- How it ends when everything is undone: failed or cancelled.
    ends_as    VARCHAR(16),
    detail     TEXT,
    changed_at BIGINT NOT NULL
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;
CREATE INDEX IF NOT EXISTS provision_stacks_of_projects ON provision_stacks (cloud_id, project_id);

-- The journal: what of each stack is there, or may be. A row is written before the service is asked, and
-- deleted after the service has said that nothing is left.
CREATE TABLE IF NOT EXISTS provision_steps (
    stack_id    VARCHAR(36) NOT NULL,
    resource    VARCHAR(64) NOT NULL,
    -- The order that made it: what an earlier one made is not undone with this one.
    order_id    VARCHAR(36) NOT NULL,
    node        MEDIUMTEXT NOT NULL,
    state       VARCHAR(16) NOT NULL,
    resource_id VARCHAR(255),
    detail      TEXT,
    changed_at  BIGINT NOT NULL,
    PRIMARY KEY (stack_id, resource)
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;
