-- The application that paths without a name answer for; at most one row.
CREATE TABLE default_application (
    place INTEGER NOT NULL PRIMARY KEY CHECK (place = 0),
    name TEXT NOT NULL REFERENCES applications (name) ON DELETE CASCADE
);
