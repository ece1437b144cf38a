"""The admin port: servd's API, Clipper's, uploads, logs, health, and who may ask.

Made by processes/daemon.py. May import deploying, registry, replicas, metrics and http/codecs, and
nothing of the query port.
"""
