"""What `benchmarks/judge.py` is made of: scenes, kernels, measures, the score and the rule for shipping."""

VERSION = 1
"""Raised whenever a scene, a kernel or a measure changes: figures of different versions must not be compared, and what
was kept in `runs/judge` under another version is not used."""
