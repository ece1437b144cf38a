"""The models that are measured: three files, and four that train.py makes."""
