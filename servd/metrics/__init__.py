"""What is counted and how it is shown.

Counted by engine, shown by http. May import logs and the vocabulary.
"""
