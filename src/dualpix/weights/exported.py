"""Files of other engines, as `dualpix export` writes them: which is which, and what a network from one carries."""

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from torch import nn

from dualpix.errors import MachineError, how_to_install, reason_of
from dualpix.machine.files import parse_json

ENGINE_OF = {".onnx": "onnx", ".xml": "openvino"}
"""The engine that runs files of a suffix."""


KEY = "dualpix"
"""The key of our facts in the metadata of every form."""

REPORTING = {"ORT_DISABLE_TELEMETRY": "1"}
"""Variables of the environment that keep engines from reporting their use; what the user set stays."""

REPORTERS = ("openvino_telemetry",)
"""Packages that report the use of others, which do without where they are missing."""


@dataclass(frozen=True)
class Exported:
    """The file that holds the numbers of a network which here has only its shape, and their `precision`."""

    path: Path
    precision: str

    @property
    def engine(self) -> str:
        return ENGINE_OF[self.path.suffix]


def mark(network: nn.Module, exported: Exported) -> None:
    """Note that the numbers of `network` are in a file."""
    network.exported = exported  # type: ignore[assignment]


def exported_of(network: object) -> Exported | None:
    """The file that holds the numbers of `network`; None if it holds them itself."""
    found = getattr(network, "exported", None)
    return found if isinstance(found, Exported) else None


def package(name: str, extra: str) -> Any:
    """The package of an engine, loaded so that it reports nothing to anybody. Raises MachineError if it is not
    installed."""
    try:
        with _unreported():
            return importlib.import_module(name)
    except ImportError as error:
        raise MachineError(
            f"This needs the package {name}, which is not installed; install it with: {how_to_install(extra)}."
        ) from error


@contextmanager
def _unreported() -> Iterator[None]:
    """What is imported here finds none of `REPORTERS`: OpenVINO would look up an analytics host, and ONNX Runtime would
    keep events to be sent in the user's cache, both as soon as they are imported."""
    for name, value in REPORTING.items():
        os.environ.setdefault(name, value)
    hidden = {name: sys.modules[name] for name in REPORTERS if name in sys.modules}
    sys.modules.update(dict.fromkeys(REPORTERS))  # type: ignore[arg-type]  # None: not to be imported
    try:
        yield
    finally:
        for name in REPORTERS:
            del sys.modules[name]
        sys.modules.update(hidden)


def read_facts(path: Path) -> dict[str, Any] | None:
    """What a file made here says of itself; None if it does not.

    Raises ValueError if the file is damaged, OSError if it cannot be read, MachineError if a package is missing.
    """
    if path.suffix == ".xml":
        text = _openvino_text(path)
    else:
        runtime = package("onnxruntime", "onnx")
        options = runtime.SessionOptions()
        # Or else it would already compute what does not depend on the views, however large the file makes that.
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 4
        try:
            session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            text = session.get_modelmeta().custom_metadata_map.get(KEY)
        except Exception as error:  # Of types of its own, which have no common one.
            raise ValueError("ONNX Runtime cannot read it") from error
    return None if text is None else parse_json(text)


def _openvino_text(path: Path) -> str | None:
    try:
        found = ElementTree.parse(path).find(f"rt_info/{KEY}")
    except (ElementTree.ParseError, LookupError, RecursionError) as error:  # An encoding may be one that is not known.
        raise ValueError(reason_of(error)) from error
    return None if found is None else found.get("value")
