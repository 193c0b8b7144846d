"""A batch in parts, where the memory is too small for the whole."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from dualpix.errors import MachineError, ran_out_of_memory


def sum_of_parts(
    compute: Callable[[dict[str, Tensor], float, bool], Tensor],
    reset: Callable[[], None],
    batch: Mapping[str, Tensor],
    parts: int = 1,
) -> tuple[Tensor, int]:
    """Compute a batch at once, or in twice as many parts as before each time that the memory runs out.

    Args:
        compute: From a part of the batch, its share of the crops and whether it is the last, to what is to be summed.
        reset: Called before each attempt, to take back what the one before has left.
        batch: Tensors that begin with the crops.
        parts: To begin with.

    Returns:
        The sum, and in how many parts it was computed.

    Raises:
        MachineError: The memory is too small for one crop.
    """
    crops = _crops(batch)
    while (found := _attempt(compute, reset, batch, min(parts, crops))) is None:
        if parts >= crops:
            side = max(whole.shape[-1] for whole in batch.values())
            raise MachineError(f"The memory is too small to learn from one crop of {side} px; choose a smaller crop.")
        parts *= 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
    return found, parts


def _attempt(
    compute: Callable[[dict[str, Tensor], float, bool], Tensor],
    reset: Callable[[], None],
    batch: Mapping[str, Tensor],
    parts: int,
) -> Tensor | None:
    """The sum; None if the memory ran out, and nothing holds on to the error, which would hold on to the memory."""
    reset()
    cut = {name: whole.tensor_split(parts) for name, whole in batch.items()}
    found = []
    try:
        for number in range(parts):
            part = {name: pieces[number] for name, pieces in cut.items()}
            found.append(compute(part, _crops(part) / _crops(batch), number == parts - 1))
    except (MemoryError, RuntimeError) as error:
        if not ran_out_of_memory(error):
            raise
        return None
    return torch.stack(found).sum() if parts > 1 else found[0]


def _crops(batch: Mapping[str, Tensor]) -> int:
    return min(len(whole) for whole in batch.values())
