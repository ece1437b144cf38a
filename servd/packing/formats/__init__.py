"""Formats of models, a file each: how one is told by its content, and what it says of itself.

Called by packing/kinds.py. May import finding/ and what is below it, and what packing/ reads
pickles with; no library of a format. Nothing in a file is run: bytes are read, and no more of them
than is bounded. What loads them is in model_runtime/loaders, under the same names. A new format is
a file with a `FORMAT` here, its place in table.py, its name in model_runtime/manifest.py and its
loader.
"""
