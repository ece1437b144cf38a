"""Talking to a daemon: `servd.Client`, the calls of the admin API, queries, and the registry of a
daemon that runs or does not.

Called by users' programs, by the command line, which reaches the daemon through this package only,
and by what gives it other tools' names. May import packing, finding, registry and system.
"""
