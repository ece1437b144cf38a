"""A web application as a replica: an ASGI or WSGI object, found by what it is and run by uvicorn.

Used by discover.py, loaders/python.py and loop.py. Only `kinds.py` is imported where there is none.
"""
