"""What a lent GPU is used for, in parts: `benchmarks/gpu_run.sh` is its door."""
