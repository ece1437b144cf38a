"""The life of replicas: bringing up, watching, backing off, draining, ending.

Called by deploying and processes; front ends use the link. May import engine, registry, logs,
system, and the launchers below it.
"""
