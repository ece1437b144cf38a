"""The HTTP servers: query (the hot path), its codecs, and admin.

Made by processes. What both servers need lies here; see each package for what it may import.
"""
