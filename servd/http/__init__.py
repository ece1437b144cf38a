"""The two HTTP servers: query (hot path) and admin."""
