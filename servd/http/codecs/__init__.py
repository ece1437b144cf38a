"""One file per wire format of the query API."""
