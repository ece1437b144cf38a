"""The command line: one file per verb; talks to the daemon only through client.py."""
