-- The registry. Rows are read back in the order in which they were first written.
CREATE TABLE applications (
    name TEXT NOT NULL UNIQUE,
    input_type TEXT NOT NULL,
    slo_us INTEGER NOT NULL,
    default_output TEXT,
    policy TEXT NOT NULL
);

CREATE TABLE versions (
    model TEXT NOT NULL,
    version TEXT NOT NULL,
    input_type TEXT NOT NULL,
    labels TEXT NOT NULL, -- a JSON array of strings
    container_name TEXT NOT NULL,
    model_data_path TEXT NOT NULL,
    max_batch INTEGER NOT NULL,
    batch_wait_us INTEGER NOT NULL,
    bundle TEXT,
    runtime TEXT NOT NULL,
    replicas INTEGER NOT NULL,
    created_s REAL NOT NULL,
    UNIQUE (model, version)
);

CREATE TABLE current_versions (
    model TEXT NOT NULL UNIQUE,
    version TEXT NOT NULL,
    FOREIGN KEY (model, version) REFERENCES versions (model, version) ON DELETE CASCADE
);

-- A link outlives the versions of its model, so `model` refers to no row.
CREATE TABLE links (
    application TEXT NOT NULL REFERENCES applications (name) ON DELETE CASCADE,
    model TEXT NOT NULL,
    UNIQUE (application, model)
);
