"""The machine under this process: memory, cores, threads, priority, PyTorch's modes, and files written whole."""
