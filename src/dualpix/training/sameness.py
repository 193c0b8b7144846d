"""What has to be the same in all processes that train together, wherever they are, before they take a step."""

import io
import json
import os
import platform
import secrets
import socket
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from dualpix.errors import CONTROL, MachineError, RecipeError, shortened
from dualpix.machine.files import LEFTOVERS, parse_json
from dualpix.training.origin import commit_of_checkout
from dualpix.training.processes import Processes
from dualpix.training.recipes import Recipe, to_dict
from dualpix.training.state import pack, unpack

NAME = "DUALPIX_MACHINE"
"""The variable of the environment by which a process knows what its machine is called among the others."""

RECIPE = "recipe"


def machine_name() -> str:
    """What this machine is called in messages to the others."""
    return os.environ.get(NAME) or socket.gethostname()


def facts_of(recipe: Recipe) -> dict[str, str]:
    """Versions and recipe, by name. `commit` is "" where dualpix is no checkout."""
    return {
        "version of dualpix": str(import_module("dualpix").__version__),
        "commit of dualpix": commit_of_checkout(),
        "version of PyTorch": torch.__version__.partition("+")[0],
        "version of Python": platform.python_version().rpartition(".")[0],
        RECIPE: json.dumps(to_dict(recipe), sort_keys=True),
    }


def difference(facts: Mapping[str, str], name: str, others: Mapping[str, str], other: str) -> str:
    """A sentence on the first fact that is not the same on the machine `name` as on `other`; "" if all are."""
    for fact, value in facts.items():
        expected = others.get(fact, "")
        if value == expected or not (value and expected):
            continue
        if fact == RECIPE:
            return f"The recipe on {name} is not that on {other} ({_fields(value, expected)}); give all the same."
        return f"The {fact} is {value} on {name} and {expected} on {other}; make them the same on all machines."
    return ""


def _fields(value: str, expected: str) -> str:
    mine, theirs = parse_json(value), parse_json(expected)
    changed = [field for field in mine if mine[field] != theirs.get(field)]
    return shortened(", ".join(f"{field} {mine[field]} and {theirs.get(field)}" for field in changed))


def require_same(processes: Processes, facts: Mapping[str, str]) -> None:
    """All meet here. Raises `MachineError` or `RecipeError` in each process whose facts are not those of the first."""
    if not processes.apart:
        return
    told = processes.gather(json.dumps({"name": machine_name(), "facts": dict(facts)}).encode())
    first = parse_json(told[0])
    name = CONTROL.sub(" ", str(first["name"]))
    if why := difference(facts, machine_name(), first["facts"], name):
        raise RecipeError(why) if why.startswith("The recipe") else MachineError(why)


def as_the_first_says(processes: Processes, record: Mapping[str, Any]) -> dict[str, Any]:
    """The record of the first process, tensors and all, in every process; all meet here."""
    content = processes.give(pack(record) if processes.first else b"")
    return dict(record) if processes.first else unpack(io.BytesIO(content))


def sees_folder_of_the_first(processes: Processes, folder: Path) -> bool:
    """Whether what the first process writes into `folder` is there for this one too; all meet here."""
    if not processes.apart:
        return True
    mark = processes.give(secrets.token_hex(8).encode()).decode()
    path = folder / LEFTOVERS.replace("*", mark)
    if processes.first:
        path.touch()
    processes.wait()
    seen = path.exists()
    processes.wait()
    if processes.first:
        path.unlink(missing_ok=True)
    return seen
