"""Finds what a deployed file needs of its project: modules, and files that it opens by name."""
