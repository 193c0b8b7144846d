"""Whether a network is being traced for a file of another engine."""

import torch


def is_exporting() -> bool:
    """Whether `torch.export` runs the network; PyTorch 2.6 does not say so by itself."""
    asked = getattr(torch.compiler, "is_exporting", None)
    if asked is not None:
        return bool(asked())
    return torch.compiler.is_compiling() and not torch.compiler.is_dynamo_compiling()
