"""Finds the cluster that tutorial.py has started, in another process and later, and ends it."""

from servd.clipper import ClipperConnection, LocalContainerManager

cluster = ClipperConnection(LocalContainerManager())
cluster.connect()
print("still there:", cluster.get_all_models())
cluster.stop_all()
