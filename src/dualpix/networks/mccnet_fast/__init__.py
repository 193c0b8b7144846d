"""MCCNet-fast: as it is trained (`model`), and as it is run without gradients (`streaming`)."""
