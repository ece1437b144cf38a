"""Load generation, baselines and the reports: `python -m benchmarks` (`make bench`)."""
