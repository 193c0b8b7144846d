"""What picture files declare about themselves: one file for each format."""
