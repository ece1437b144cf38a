"""The composition roots: the daemon, front ends, serve-one; how each begins and ends.

Called by the command line or as `python -m`. May import everything but the command line and export.
"""
