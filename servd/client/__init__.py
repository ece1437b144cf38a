"""Talking to a daemon: its admin API, and the registry of one that runs or does not.

Called by the command line, which reaches the daemon through this package only. May import registry
and system.
"""
