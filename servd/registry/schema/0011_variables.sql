-- What a version's replicas compute on, how many threads its libraries take (NULL: by its
-- processors), and its variables. Pages that are free again are overwritten (store.py).
ALTER TABLE versions ADD COLUMN device TEXT;
ALTER TABLE versions ADD COLUMN threads INTEGER;
CREATE TABLE variables (
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    UNIQUE (model, version, name),
    FOREIGN KEY (model, version) REFERENCES versions (model, version) ON DELETE CASCADE
);
