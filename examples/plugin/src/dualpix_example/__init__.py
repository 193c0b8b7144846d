"""One entry for each table of dualpix."""
