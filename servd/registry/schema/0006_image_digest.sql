-- Which image a version's containers run: its name may be given to another. Not known of old ones.
ALTER TABLE versions ADD COLUMN image_digest TEXT;
