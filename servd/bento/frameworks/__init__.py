"""Artifacts of frameworks. Called by users' scripts; may import model_runtime/bento only."""
