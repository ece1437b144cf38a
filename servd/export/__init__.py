"""Exports to Kubernetes: what is read, which files it makes, and the folder they are kept in."""
