"""Errors of another engine turned into ours, and its output checked before it is used."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dualpix.errors import OUT_OF_MEMORY, DualpixError, MachineError, reason_of
from dualpix.networks import Network
from dualpix.weights.exported import exported_of


class EngineGuard:
    """Guards one network in one engine.

    It keeps no reference to the network, so that the network can be freed.

    Args:
        engine: Its name for people.
        network: Named in messages.
    """

    def __init__(self, engine: str, network: Network) -> None:
        exported = exported_of(network)
        self._engine = engine
        self._model = type(network).__name__ if exported is None else str(exported.path)
        self._advice = "use the engine torch" if exported is None else "export it again with `dualpix export`"

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Raise `MachineError` for whatever the engine raises, and MemoryError if it says that memory ran out."""
        try:
            yield
        except (DualpixError, MemoryError):
            raise
        except Exception as error:  # The exceptions of engines have no common type.
            reason = reason_of(error)
            if OUT_OF_MEMORY.search(str(error)):
                raise MemoryError(reason) from error
            raise MachineError(f"{self._engine} cannot run {self._model} ({reason}); {self._advice}.") from error

    def picture(self, output: Any, height: int, width: int) -> Tensor:
        """Return an array 1 x 3 x H x W as a tensor 3 x H x W.

        Raises:
            MachineError: It is no float32 array of that shape.
        """
        if np.shape(output) != (1, 3, height, width) or output.dtype != np.float32:
            what = f"{getattr(output, 'dtype', type(output).__name__)} {np.shape(output)}"
            raise MachineError(f"{self._engine} makes {what} of {self._model}, which is not a picture; {self._advice}.")
        return torch.from_numpy(output[0])
