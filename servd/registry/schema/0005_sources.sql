-- Which file a version was deployed from; one that came without says nothing.
CREATE TABLE sources (
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    path TEXT NOT NULL,
    UNIQUE (model, version),
    FOREIGN KEY (model, version) REFERENCES versions (model, version) ON DELETE CASCADE
);
