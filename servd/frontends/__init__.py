"""Answering queries in several processes or on several machines: who tells whom what.

Made by processes. The daemon's end is hub.py and pool.py; the others are follower.py
and, on a cluster, cluster.py. May import engine, replicas and registry.
"""
