"""What servd is measured against, each run as a program of its own by benchmarks/servers.py."""
