"""The models that are measured: two files, and three that train.py makes."""
