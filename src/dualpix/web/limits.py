"""What the server allows."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

from dualpix.errors import MachineError
from dualpix.inference.planning import parse_memory


@dataclass(frozen=True)
class Limits:
    """Bounds that keep one visitor from using up the machine; times in seconds.

    Args:
        body_bytes: Of one upload.
        megapixels: Of one view.
        upload_s: For a whole upload.
        silence_s: Without a byte arriving in an upload, or being taken of an answer.
        head_s: For a connection to send its first request, and the next after each answer.
        check_s: For reading and comparing a pair.
        work_s: For deblurring it.
        render_s: For making a file to download.
        stop_s: For what is under way when the server is asked to end.
        active_jobs: Uploading, waiting or running at once.
        kept_jobs: Kept at once.
        kept_s: How long they are kept after their last use.
        connections: Open at once.
        free_disk_bytes: Of the disk that are never used.
    """

    body_bytes: int = 1_000_000_000
    megapixels: float = 100.0
    upload_s: float = 600.0
    silence_s: float = 20.0
    head_s: float = 10.0
    check_s: float = 300.0
    work_s: float = 3600.0
    render_s: float = 300.0
    stop_s: float = 8.0
    active_jobs: int = 6
    kept_jobs: int = 12
    kept_s: float = 3600.0
    connections: int = 64
    free_disk_bytes: int = 2_000_000_000


def limits_of(settings: Iterable[str]) -> Limits:
    """Return the default limits with some changed.

    Args:
        settings: Such as "kept_jobs=40" or "free_disk_bytes=500MB".

    Raises:
        MachineError: There is no such limit, or its value is wrong.
    """
    kinds = {field.name: field.type for field in fields(Limits)}
    limits = Limits()
    for setting in settings:
        name, _, text = setting.partition("=")
        if name not in kinds:
            raise MachineError(f"There is no limit {name!r}; choose from: {', '.join(kinds)}.")
        changed: dict[str, Any] = {name: _amount(name, text, is_whole=kinds[name] in (int, "int"))}
        limits = replace(limits, **changed)
    return limits


def _amount(name: str, text: str, is_whole: bool) -> float:
    if name.endswith("_bytes") and text != "0":
        return parse_memory(text)
    try:
        value = int(text) if is_whole else float(text)
        if math.isfinite(value) and value >= 0 and (value > 0 or name in ("free_disk_bytes", "stop_s")):
            return value
    except ValueError:
        pass
    what = "a whole number above 0" if is_whole else "a number above 0"
    raise MachineError(f"The limit {name} cannot be {text!r}; give {what}, such as {name}={getattr(Limits, name):g}.")
