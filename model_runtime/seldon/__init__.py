"""Classes that are written for Seldon Core: messages to calls, what they return to messages.

`shape` tells such a class from others (discover.py asks), `component` calls it, `messages` reads
and writes SeldonMessage as JSON. Used by loaders/seldon.py. The protocol is that of Seldon Core's
microservices, version 1 (docs/seldon.md).
"""
