-- What a partner's users may make here although it outlives their login. Same rules as in 0003.

-- Null where nothing.
ALTER TABLE agreements ADD COLUMN /*! IF NOT EXISTS */ allowed TEXT;
