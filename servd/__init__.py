"""A prediction server in one daemon; see ARCHITECTURE.md for the layers and the path of a query."""

__version__ = "0.1.0"
