-- Further paths of applications, and the keys of bodies there; NULL: a body is the value itself.
CREATE TABLE routes (
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    app TEXT NOT NULL REFERENCES applications (name) ON DELETE CASCADE,
    takes TEXT,
    gives TEXT,
    is_batch INTEGER NOT NULL,
    UNIQUE (method, path)
);
