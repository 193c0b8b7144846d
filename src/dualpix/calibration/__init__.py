"""Measure a camera's optics and sensor from pairs that it took."""
