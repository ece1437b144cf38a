-- The statements of store.py, by name.

-- name: put_application
INSERT INTO applications (name, input_type, slo_us, default_output, policy)
VALUES (:name, :input_type, :slo_us, :default_output, :policy)
ON CONFLICT (name) DO UPDATE SET
    input_type = excluded.input_type,
    slo_us = excluded.slo_us,
    default_output = excluded.default_output,
    policy = excluded.policy;

-- name: delete_application
DELETE FROM applications WHERE name = :name;

-- name: put_default
INSERT INTO default_application (place, name) VALUES (0, :name)
ON CONFLICT (place) DO UPDATE SET name = excluded.name;

-- name: delete_default
DELETE FROM default_application;

-- name: put_version
INSERT INTO versions (
    model, version, input_type, labels, container_name, model_data_path,
    max_batch, batch_wait_us, batching, bundle, runtime, replicas, created_s,
    image, image_digest, memory_bytes, cpus, gpus, signature, is_cached, web,
    device, threads
)
VALUES (
    :model, :version, :input_type, :labels, :container_name, :model_data_path,
    :max_batch, :batch_wait_us, :batching, :bundle, :runtime, :replicas, :created_s,
    :image, :image_digest, :memory_bytes, :cpus, :gpus,
    :signature, :is_cached, :web, :device, :threads
)
ON CONFLICT (model, version) DO UPDATE SET
    input_type = excluded.input_type,
    labels = excluded.labels,
    container_name = excluded.container_name,
    model_data_path = excluded.model_data_path,
    max_batch = excluded.max_batch,
    batch_wait_us = excluded.batch_wait_us,
    batching = excluded.batching,
    bundle = excluded.bundle,
    runtime = excluded.runtime,
    replicas = excluded.replicas,
    created_s = excluded.created_s,
    image = excluded.image,
    image_digest = excluded.image_digest,
    memory_bytes = excluded.memory_bytes,
    cpus = excluded.cpus,
    gpus = excluded.gpus,
    signature = excluded.signature,
    is_cached = excluded.is_cached,
    web = excluded.web,
    device = excluded.device,
    threads = excluded.threads;

-- name: put_source
INSERT INTO sources (model, version, path) VALUES (:model, :version, :path);

-- name: put_variable
INSERT INTO variables (model, version, name, value) VALUES (:model, :version, :name, :value);

-- name: delete_version
DELETE FROM versions WHERE model = :model AND version = :version;

-- name: put_current
INSERT INTO current_versions (model, version) VALUES (:model, :version)
ON CONFLICT (model) DO UPDATE SET version = excluded.version;

-- name: put_link
INSERT INTO links (application, model) VALUES (:application, :model);

-- name: delete_link
DELETE FROM links WHERE application = :application AND model = :model;

-- name: all_applications
SELECT name, input_type, slo_us, default_output, policy FROM applications ORDER BY rowid;

-- name: all_defaults
SELECT name FROM default_application;

-- name: all_versions
SELECT
    model, version, input_type, labels, container_name, model_data_path,
    max_batch, batch_wait_us, batching, bundle, runtime, replicas, created_s,
    image, image_digest, memory_bytes, cpus, gpus, signature, is_cached, web,
    device, threads
FROM versions ORDER BY rowid;

-- name: all_current
SELECT model, version FROM current_versions ORDER BY rowid;

-- name: all_links
SELECT application, model FROM links ORDER BY rowid;

-- name: all_sources
SELECT model, version, path FROM sources ORDER BY rowid;

-- name: all_variables
SELECT model, version, name, value FROM variables ORDER BY rowid;

-- name: count_change
UPDATE registry SET changes = changes + 1;

-- name: count_on
UPDATE registry SET changes = max(changes, :changes) + 1;

-- name: tally
SELECT identity, changes FROM registry;

-- name: put_route
INSERT INTO routes (method, path, app, takes, gives, is_batch)
VALUES (:method, :path, :app, :takes, :gives, :is_batch);

-- name: delete_route
DELETE FROM routes WHERE method = :method AND path = :path;

-- name: all_routes
SELECT method, path, app, takes, gives, is_batch FROM routes ORDER BY rowid;
