"""The path of a query: select, ask the cache, queue, batch, send, answer or default.

Called by http/query with rows, driven by registry states and told of replicas by replicas and
frontends. May import carriers and metrics: it knows no wire format, no process and no registry.
"""
