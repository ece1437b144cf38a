"""Deployers, a module each: they save a function and a model, and have them deployed. Called by
users' scripts; each imports its framework when it is called only. May import what saves objects.
"""
