-- Of which kind of web application a version is: asgi, wsgi; NULL where it is a model.
ALTER TABLE versions ADD COLUMN web TEXT;
