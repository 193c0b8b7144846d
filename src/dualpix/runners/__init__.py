"""A network made ready to run on rows of a picture; one file for each engine. The only place that pads pictures."""
