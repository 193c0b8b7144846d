"""Fingerprints of data sets: a digest of the content, the same wherever the files lie and whenever they were copied."""

import hashlib
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from torch import Tensor

from dualpix.machine.files import glimpses

PIECE = 2**14
"""Bytes. Of a longer file only the beginning, middle and end are read, besides its length: data sets have gigabytes."""

LOOKED_AT = 3


def fingerprint(data: Any) -> str:
    """A digest of a data set, or of photographs.

    Args:
        data: A data set. Its `files` are read if it has that attribute; otherwise its length and first samples count.

    Returns:
        Sixteen hexadecimal digits.

    Raises:
        OSError: A file is missing.
    """
    digest = hashlib.blake2b(digest_size=8)
    files: Sequence[Path] | None = getattr(data, "files", None)
    for piece in _of_samples(data) if files is None else _of_files(files):
        digest.update(piece)
    return digest.hexdigest()


def _of_files(files: Iterable[Path]) -> Iterable[bytes]:
    for path in files:
        size = path.stat().st_size
        yield f"{path.parent.name}/{path.name} {size}\n".encode(errors="surrogateescape")
        with path.open("rb") as file:
            yield from glimpses(file, PIECE)


def _of_samples(data: Any) -> Iterable[bytes]:
    yield f"{len(data)} samples\n".encode()
    for sample in islice((data[number] for number in range(len(data))), LOOKED_AT):
        named = sample.items() if isinstance(sample, dict) else [("", sample)]
        for name, thing in sorted(named, key=lambda item: str(item[0])):
            yield f"{name}\n".encode()
            is_picture = isinstance(thing, Tensor)
            yield thing.detach().cpu().contiguous().numpy().tobytes() if is_picture else str(thing).encode()
