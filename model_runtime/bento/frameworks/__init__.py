"""Artifacts of frameworks, by the names of BentoML 0.13."""
