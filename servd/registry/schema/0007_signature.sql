-- What a version has said of its inputs and outputs, as JSON; and whether its answers are cached.
ALTER TABLE versions ADD COLUMN signature TEXT;
ALTER TABLE versions ADD COLUMN is_cached INTEGER NOT NULL DEFAULT 1;
