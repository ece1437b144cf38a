"""What a process on Linux needs: ports, sockets, peers, descendants, descriptors, patience.

Called from everywhere. May import logs and the vocabulary.
"""
