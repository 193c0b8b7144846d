"""Importing does nothing: each test looks at a fresh process, in an empty folder, with warnings as errors."""

import subprocess
import sys
from pathlib import Path


def run(code: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_the_package_alone_loads_nothing_heavy(tmp_path: Path) -> None:
    code = """
import sys
before = set(sys.modules)
import dualpix
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)))
print(*sorted(name for name in sys.modules if name.startswith("dualpix.")))
"""
    assert run(code, tmp_path) == "dualpix\n\n"


def test_importing_every_module_has_no_effect(tmp_path: Path) -> None:
    code = """
import importlib, logging, os, pkgutil, random, signal, sys, threading, warnings
import numpy, torch

def state():
    return {
        "threads": threading.active_count(),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "signals": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "warning filters": list(warnings.filters),
        "log handlers": list(logging.getLogger().handlers),
        "random": random.getstate(),
        "numpy random": str(numpy.random.get_state()),
        "torch random": torch.get_rng_state().tolist(),
        "torch threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "torch type": (torch.get_default_dtype(), torch.get_float32_matmul_precision(), torch.is_grad_enabled()),
        "determinism": (torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark),
    }

before = state()
import dualpix
for module in pkgutil.walk_packages(dualpix.__path__, "dualpix."):
    if not module.name.endswith(("__main__", ".spandrel")):  # which needs its extra at once
        importlib.import_module(module.name)
after = state()
for key, value in before.items():
    if after[key] != value:
        print("changed:", key)
print("done")
"""
    assert run(code, tmp_path) == "done\n"
    assert list(tmp_path.iterdir()) == []
