"""Keep the caller's PyTorch settings out of what is computed here.

A picture comes out the same inside a program's autocast, with float64 by default, in inference mode, and in a forked
process.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import numpy as np
import torch

from dualpix.errors import MachineError

ENGINES = {"openvino": "openvino", "onnx": "onnxruntime"}
"""Packages that start threads of their own, by the name of the engine."""


class _Globals(NamedTuple):
    """Settings that hold for the whole process."""

    dtype: torch.dtype
    matmul: str


PLAIN = _Globals(torch.float32, "highest")

_lock = threading.Lock()
_inside: list[_Globals] = []  # the caller's settings, saved by the first of all active contexts
_count = 0
_forked: frozenset[str] | None = None  # engines that were loaded when this process was forked


@contextmanager
def settled() -> Iterator[None]:
    """Compute as in a fresh process, whatever the caller has set; a context or a decorator.

    float32 and the CPU are the defaults, nothing runs in a lower precision than it is written in, tensors can carry
    gradients, and a forked process, in which PyTorch's threads are missing, computes in one. Other threads only notice
    the default type and the precision of matrix products, and only if the caller had changed those.
    """
    with ExitStack() as stack:
        stack.enter_context(np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"))
        for device in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        if torch.is_inference_mode_enabled():
            stack.enter_context(torch.inference_mode(False))
        if torch.empty(0).device.type != "cpu":  # not get_default_device, which PyTorch 2.6 does not tell a context's
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(_plain_globals())
        if _forked is not None and torch.get_num_threads() > 1:
            torch.set_num_threads(1)  # the parent's threads do not exist here, but PyTorch would wait for them
        yield


def check_fork(engine: str) -> None:
    """Raise `MachineError` if this process was forked after `engine` was loaded, whose threads are missing in it."""
    if _forked is not None and ENGINES.get(engine) in _forked:
        raise MachineError(
            f"This process was forked from one that had loaded the engine {engine}, whose threads do not exist in it;"
            ' start it with multiprocessing.get_context("spawn"), or take the engine torch.'
        )


@contextmanager
def _plain_globals() -> Iterator[None]:
    global _count
    with _lock:
        if _count == 0:
            _inside[:] = [_globals()]
        _count += 1
        _set(PLAIN)
    try:
        yield
    finally:
        with _lock:
            _count -= 1
            if _count == 0:
                _set(_inside.pop())


def _globals() -> _Globals:
    return _Globals(torch.get_default_dtype(), torch.get_float32_matmul_precision())


def _set(asked: _Globals) -> None:
    if torch.get_default_dtype() != asked.dtype:
        torch.set_default_dtype(asked.dtype)
    if torch.get_float32_matmul_precision() != asked.matmul:
        torch.set_float32_matmul_precision(asked.matmul)


def _after_fork() -> None:
    global _forked, _lock
    _forked = frozenset(name for name in ENGINES.values() if name in sys.modules)
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
