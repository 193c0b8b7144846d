"""A training that never stops, in parts: `benchmarks/learn.py` is its door."""
