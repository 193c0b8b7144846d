"""What `fuzz.py` is made of: small valid files, ways to break them, and what readers may do with the result."""
