"""Finds what a deployed file needs of its project: modules, and files that it opens by name.

Called by packing and by the command line. May import the vocabulary only.
"""
