"""Exports to Kubernetes: what is read, which files it makes, and the folder they are kept in.

Called by the command line. May import imaging, registry, carriers (keys) and k8s_adapter.
"""
