"""Where a run comes from: which dualpix, started how, on which data. It stands in the log and beside the weights.

Where the data lie and on which machine stands in the log alone, which nobody ships.
"""

import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from dualpix.datasets.fingerprints import fingerprint
from dualpix.machine import limits
from dualpix.training.feed import CropSource, Fixed, pool_of
from dualpix.training.sources import Subset, Validator

PACKAGE = Path(__file__).parents[1]


def origin(source: CropSource, validator: Validator) -> dict[str, Any]:
    """Return where a run comes from.

    Returns:
        `version` and, in a checkout, `commit` of dualpix; the `command`; and `data`, see `data_of`.
    """
    commit = commit_of_checkout()
    return {
        "version": str(import_module("dualpix").__version__),
        **({"commit": commit} if commit else {}),
        "command": _command(),
        "data": data_of(source, validator),
    }


def surroundings(places: Mapping[str, Any]) -> dict[str, Any]:
    """Return where a run takes place.

    Args:
        places: The arguments of `train` that name data, by name.

    Returns:
        The working `folder`; `given`, the places of the data as they were named, those handed over as objects left out;
        and the `machine`. The user's home is written as "~".
    """
    given: dict[str, str | list[str]] = {}
    for name, value in places.items():
        if isinstance(value, str | Path):
            given[name] = without_home(os.fspath(value))
        elif isinstance(value, Sequence) and value and all(isinstance(one, str | Path) for one in value):
            given[name] = [without_home(os.fspath(one)) for one in value]
    machine = {
        "system": platform.platform(),
        "processor": _processor(),
        "cores": limits.cores(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
    return {"folder": without_home(os.getcwd()), "given": given, "machine": machine}


def data_of(source: CropSource, validator: Validator) -> dict[str, str]:
    """The fingerprints of what is learnt from, `photos` and `pairs`, and of what it is tried on, `validation`."""
    pool = pool_of(source)
    real = source if isinstance(source, Fixed) else getattr(source, "real", None)
    used = {
        "photos": pool.scenes.simulated.photos if pool else None,
        "pairs": real.samples if real else None,
        "validation": getattr(validator, "samples", None),
    }
    return {name: fingerprint(_whole(data)) for name, data in used.items() if data is not None}


def _whole(data: Any) -> Any:
    """The data set that some samples were taken from."""
    return _whole(data.samples) if isinstance(data, Subset) else data


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return one sentence on how data and version of a resumed run differ from those so far; "" if they do not."""
    data = [
        name for name in now["data"] if name in before.get("data", {}) and before["data"][name] != now["data"][name]
    ]
    told = []
    if data:
        told.append(f"the data ({', '.join(data)}) are others than this run has had so far")
    if before.get("version", now["version"]) != now["version"]:
        told.append(f"dualpix is {now['version']} and was {before['version']}")
    return f"{'; '.join(told)}: what is learnt from here on is not what the run would have learnt." if told else ""


def _command() -> str:
    """As it was typed, without the name of the user's home."""
    program, *words = sys.argv or [""]
    path = Path(program)
    return without_home(shlex.join([path.parent.name if path.name == "__main__.py" else path.name, *words]))


def without_home(text: str) -> str:
    """Return `text` with "~" for the user's home folder, whose name may be the user's."""
    with suppress(RuntimeError):  # a user without a home
        return text.replace(str(Path.home()), "~") if len(str(Path.home())) > 1 else text
    return text


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def commit_of_checkout() -> str:
    """Of the checkout that this package lies in, "-dirty" if its files differ from it; "" elsewhere."""
    root = PACKAGE.parents[1]
    if not (root / ".git").exists() or PACKAGE.parent.name != "src":
        return ""
    with suppress(OSError, subprocess.SubprocessError):
        command = [
            "git",
            "--no-optional-locks",
            "-C",
            str(root),
            "describe",
            "--always",
            "--dirty",
            "--exclude=*",
            "--abbrev=40",
        ]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    return ""
