"""Weights: our checkpoints, files of other engines, and the files that authors of other networks publish."""
