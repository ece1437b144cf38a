"""Makes the bundle of a deployment on the user's side: target, files, pickles.

Called by the command line, and by deploying for what a bundle is. May import finding.
"""
