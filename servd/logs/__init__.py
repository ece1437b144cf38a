"""Everything that is logged: the daemon's log, those of models, faults, audits.

Called from everywhere. May import the vocabulary only.
"""
