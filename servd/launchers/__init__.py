"""Ways to run a replica: each launcher implements the protocol in base.py."""
