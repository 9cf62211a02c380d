-- Partners without Alliance, and how each partner's tokens are validated.
-- For both databases and repeatable, as 0001. SQLite has no IF NOT EXISTS here and needs none: it
-- takes a migration that was interrupted back as a whole.

ALTER TABLE partners ADD COLUMN /*! IF NOT EXISTS */ kind VARCHAR(16) NOT NULL DEFAULT 'alliance';
-- What differs from the defaults; null where nothing does.
ALTER TABLE partners ADD COLUMN /*! IF NOT EXISTS */ policy TEXT;
-- How a plain Keystone is asked.
ALTER TABLE partners ADD COLUMN /*! IF NOT EXISTS */ keystone TEXT;

-- A token without a tag is a partner's by its format: no two partners claim the same.
CREATE TABLE IF NOT EXISTS untagged_formats (
    format     VARCHAR(16) NOT NULL PRIMARY KEY,
    partner_id VARCHAR(36) NOT NULL,
    FOREIGN KEY (partner_id) REFERENCES partners (id)
) /*! ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_nopad_bin */;
