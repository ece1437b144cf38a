"""Ways to run a replica: each launcher implements the protocol in base.py.

Called by replicas. May import registry (limits of containers), logs and system.
"""
