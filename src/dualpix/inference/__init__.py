"""From two views to a picture: planned, run by an engine, in bands of rows where memory asks for it."""
