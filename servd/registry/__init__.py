"""What exists: applications, versions, links, current versions; its rules and its database.

Called by deploying, http/admin and processes. May import logs and the vocabulary.
"""
