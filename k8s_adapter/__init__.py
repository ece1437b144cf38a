"""Turns a snapshot of the registry into Kubernetes objects by pure functions."""
