"""Changing what exists: deployments, their plan, their files. One change at a time.

Called by http/admin and made by processes. May import registry, replicas and packing.
"""
