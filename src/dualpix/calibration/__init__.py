"""A camera's own numbers, from pairs that it took."""
