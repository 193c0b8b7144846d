"""MCCNet: as the paper gives it (`model`), and as it is run without gradients (`streaming`)."""
