"""Files of other engines, as `dualpix export` writes them: which is which, and what a network from one carries."""

import importlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from torch import nn

from dualpix.errors import MachineError, how_to_install

ENGINE_OF = {".onnx": "onnx", ".xml": "openvino"}
"""The engine that runs files of a suffix."""


KEY = "dualpix"
"""The key of our facts in the metadata of every form."""


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
    """The package of an engine. Raises MachineError if it is not installed."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MachineError(
            f"This needs the package {name}, which is not installed; install it with: {how_to_install(extra)}."
        ) from error


def read_facts(path: Path) -> dict[str, Any] | None:
    """What a file made here says of itself; None if it does not.

    Raises ValueError if the file is damaged, OSError if it cannot be read, MachineError if a package is missing.
    """
    if path.suffix == ".xml":
        text = _openvino_text(path)
    else:
        runtime = package("onnxruntime", "onnx")
        try:
            text = runtime.InferenceSession(str(path)).get_modelmeta().custom_metadata_map.get(KEY)
        except Exception as error:  # Of types of its own, which have no common one.
            raise ValueError("ONNX Runtime cannot read it") from error
    return None if text is None else json.loads(text)


def _openvino_text(path: Path) -> str | None:
    try:
        found = ElementTree.parse(path).find(f"rt_info/{KEY}")
    except ElementTree.ParseError as error:
        raise ValueError(str(error)) from error
    return None if found is None else found.get("value")
