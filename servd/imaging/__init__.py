"""Docker images of models: their names, their build contexts, building and trying them.

Called by the command line and by processes. May import registry, replicas and the vocabulary.
"""
