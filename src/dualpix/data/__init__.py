"""Data sets of samples: dicts of named pictures (`left`, `right`, `center`, `sharp` where known) plus `name`."""
