"""A low-priority process that renders the scenes a training run will ask for next, so that no step waits for one."""

import multiprocessing
import os
import time
from multiprocessing.sharedctypes import Synchronized
from typing import Any

import torch

from dualpix.data.rendered import Rendered

AHEAD = 64  # scenes kept ready beyond the pool


class RenderingAhead:
    """A context in which another process keeps `scenes` rendered up to `AHEAD` scenes beyond where `reach` says."""

    def __init__(self, scenes: Rendered, end: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.wanted: Synchronized[int] = context.Value("q", 0)
        self.process = context.Process(target=_render, args=(scenes, self.wanted, end, os.getpid()), daemon=True)

    def reach(self, end: int) -> None:
        """Scenes below `end` are in use."""
        self.wanted.value = end

    def __enter__(self) -> "RenderingAhead":
        self.process.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.process.terminate()
        self.process.join()


def _render(scenes: Rendered, wanted: Any, end: int, parent: int) -> None:
    os.nice(5)
    torch.set_num_threads(1)
    done = wanted.value
    while os.getppid() == parent and done < end:
        if done >= wanted.value + AHEAD:
            time.sleep(0.2)
        else:
            if not scenes.has(done):
                scenes.render(done)
            done += 1
