-- Which controller sizes a version's batches; those that were there before had the only one.
ALTER TABLE versions ADD COLUMN batching TEXT NOT NULL DEFAULT 'aimd';
