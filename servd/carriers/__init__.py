"""How messages travel to a replica: streams, ZeroMQ, TLS, the keys of both, and long bytes.

Called by engine/rpc.py; knows nothing of queries. May import logs, system and the vocabulary.
"""
