"""Files for other engines, as `dualpix export` writes them: which engine runs them, and which network they hold."""

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
"""The engine that runs a file, by the file's ending."""


KEY = "dualpix"
"""The key of our facts in the metadata of exported files of every form."""

REPORTING = {"ORT_DISABLE_TELEMETRY": "1"}
"""Environment variables that keep engines from reporting their use; what the user has set is kept."""

REPORTERS = ("openvino_telemetry",)
"""Packages by which others report their use; those do without where the package is missing."""


@dataclass(frozen=True)
class Exported:
    """A file that holds the numbers of a network of which only the shape is in memory, and their `precision`."""

    path: Path
    precision: str

    @property
    def engine(self) -> str:
        """The engine that runs the file."""
        return ENGINE_OF[self.path.suffix]


def mark(network: nn.Module, exported: Exported) -> None:
    """Note on `network`, of which only the shape is in memory, in which file its numbers are."""
    network.exported = exported  # type: ignore[assignment]


def exported_of(network: object) -> Exported | None:
    """Return the file that holds the numbers of `network`; None if the network holds them itself."""
    found = getattr(network, "exported", None)
    return found if isinstance(found, Exported) else None


def package(name: str, extra: str) -> Any:
    """Import a package of an engine without letting it report its use to anyone.

    Args:
        name: What to import.
        extra: The extra of dualpix that installs it, for the message.

    Raises:
        MachineError: It is not installed.
    """
    try:
        with _unreported():
            return importlib.import_module(name)
    except ImportError as error:
        raise MachineError(
            f"This needs the package {name}, which is not installed; install it with: {how_to_install(extra)}."
        ) from error


@contextmanager
def _unreported() -> Iterator[None]:
    """Hide `REPORTERS` from what is imported in this context.

    Otherwise OpenVINO would look up an analytics host, and ONNX Runtime would keep events to be sent in the user's
    cache, both as soon as they are imported.
    """
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
    """Return what an exported file says about itself; None if it was not made by dualpix.

    Raises:
        ValueError: The file is damaged.
        OSError: It cannot be read.
        MachineError: A package for reading it is missing.
    """
    if path.suffix == ".xml":
        text = _openvino_text(path)
    else:
        runtime = package("onnxruntime", "onnx")
        options = runtime.SessionOptions()
        # Otherwise it would already compute what does not depend on the views, however large the file makes that.
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 4
        try:
            session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
            text = session.get_modelmeta().custom_metadata_map.get(KEY)
        except Exception as error:  # Its exceptions have no common type.
            raise ValueError("ONNX Runtime cannot read it") from error
    return None if text is None else parse_json(text)


def _openvino_text(path: Path) -> str | None:
    try:
        found = ElementTree.parse(path).find(f"rt_info/{KEY}")
    except (ElementTree.ParseError, LookupError, RecursionError) as error:  # LookupError: an unknown encoding.
        raise ValueError(reason_of(error)) from error
    return None if found is None else found.get("value")
