-- Agreements with versions that both sides sign. Same rules as in 0003.

-- The version that is in force, 0 if none has been agreed to yet. What the columns say is what it
-- says, or what is proposed if there is none.
ALTER TABLE agreements ADD COLUMN /*! IF NOT EXISTS */ version BIGINT NOT NULL DEFAULT 1;
-- Null where nothing is said of it.
ALTER TABLE agreements ADD COLUMN /*! IF NOT EXISTS */ regions TEXT;
ALTER TABLE agreements ADD COLUMN /*! IF NOT EXISTS */ flavors TEXT;
ALTER TABLE agreements ADD COLUMN /*! IF NOT EXISTS */ quota TEXT;
ALTER TABLE agreements ADD COLUMN /*! IF NOT EXISTS */ prices TEXT;
ALTER TABLE agreements ADD COLUMN /*! IF NOT EXISTS */ retirement TEXT;
-- Who ended it, and the signed word.
ALTER TABLE agreements ADD COLUMN /*! IF NOT EXISTS */ ended_by TEXT;
ALTER TABLE agreements ADD COLUMN /*! IF NOT EXISTS */ ending TEXT;

-- All versions of agreements that this cloud gave (received is 0) or got (1), as their hosts signed
-- them. An id is its host's choice: it names an agreement together with the partner and the side.
CREATE TABLE IF NOT EXISTS agreement_versions (
    partner_id     VARCHAR(36) NOT NULL,
    received       BIGINT NOT NULL,
    agreement_id   VARCHAR(36) NOT NULL,
    version        BIGINT NOT NULL,
    terms          MEDIUMTEXT NOT NULL,
    signed         MEDIUMTEXT NOT NULL,
    sha256         VARCHAR(64) NOT NULL,
    made_at        BIGINT NOT NULL,
    made_by        TEXT NOT NULL,
    in_force_since BIGINT,
    said           VARCHAR(16),
    said_at        BIGINT,
    said_by        TEXT,
    reply          MEDIUMTEXT,
    -- Whether the host has taken the reply in.
    heard          BIGINT NOT NULL DEFAULT 0,
    PRIMARY KEY (partner_id, received, agreement_id, version),
    FOREIGN KEY (partner_id) REFERENCES partners (id)
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;

-- Agreements that partners gave this cloud.
CREATE TABLE IF NOT EXISTS received_agreements (
    partner_id     VARCHAR(36) NOT NULL,
    agreement_id   VARCHAR(36) NOT NULL,
    project_id     VARCHAR(64) NOT NULL,
    project_name   TEXT,
    project_domain TEXT,
    -- The version that the host says is in force, null if none is.
    version        BIGINT,
    ended_at       BIGINT,
    ended_by       TEXT,
    ending         TEXT,
    -- Whether the host knows that it has ended.
    heard          BIGINT NOT NULL DEFAULT 0,
    -- Why what the host last said was not believed.
    fault          TEXT,
    PRIMARY KEY (partner_id, agreement_id),
    FOREIGN KEY (partner_id) REFERENCES partners (id)
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;
