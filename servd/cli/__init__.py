"""The command line: one file per verb. Reaches a daemon only through client/.

Called by whoever types. May import client, packing, imaging, export and processes.
"""
