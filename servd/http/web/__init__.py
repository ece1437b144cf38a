"""Requests that are passed on to web applications: a proxy in the event loop of the query server.

Called by http/query, where a path is a web application's. May import the engine and below, and of
http only what all of it shares.
"""
