-- What a version's containers run and may use; versions that were there before run as processes.
ALTER TABLE versions ADD COLUMN image TEXT;
ALTER TABLE versions ADD COLUMN memory_bytes INTEGER;
ALTER TABLE versions ADD COLUMN cpus REAL;
ALTER TABLE versions ADD COLUMN gpus TEXT;
