"""What models run in: Python interpreters, what is in them, how model_runtime comes there.

Called by whoever packs, launches or tries models. May import system, logs and the vocabulary.
"""
