-- Which registry this is and how many changes it has taken. Both are noted beside it too
-- (registry/witness.py), so that a registry that has lost changes is known for one.
CREATE TABLE registry (
    identity TEXT NOT NULL,
    changes INTEGER NOT NULL
);
INSERT INTO registry (identity, changes) VALUES (lower(hex(randomblob(16))), 0);
