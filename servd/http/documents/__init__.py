"""What is said of applications to who asks: their schemas, OpenAPI documents and pages for people.

Pure: an application (application.py) to bytes, in pieces, as a text may be long and the event loop
has others to look after. Called by http/query/documents.py, which serves them, and by the codecs,
each of which says what it answers (`Codec.operations`). May import datatypes and the model's
signature, and nothing of a server.
"""
