"""`last.pt`: everything that a resumed run goes on from. It is sealed when written, and looked through when read.

The file is PyTorch's zip archive; the seal, a digest of all bytes before it, is the archive's comment. Archives from
before there was a seal hold a checksum of every part. Nothing that is read is handed on before it is known to have the
shapes of what it replaces: PyTorch's fused optimisers write beyond the end of a state that is too small.
"""

import hashlib
import io
import math
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

END = b"PK\x05\x06"
END_BYTES = 22
SEAL = b"dualpix:"
SEAL_BYTES = len(SEAL) + 32
PIECE = 2**20


def pack(state: Mapping[str, Any]) -> memoryview:
    """The file that holds a state."""
    content = io.BytesIO()
    torch.save(dict(state), content)
    content.seek(-END_BYTES, io.SEEK_END)
    if content.read(4) == END:
        content.seek(-2, io.SEEK_END)
        content.write(SEAL_BYTES.to_bytes(2, "little"))
        content.write(_seal(content, content.tell()))
    return content.getbuffer()


def unpack(place: Path | BinaryIO) -> dict[str, Any]:
    """What `pack` wrote into the file at this path, or one that is open.

    Its tensors are in the processor's memory, wherever they were computed.

    Raises ValueError that says what is wrong with the file, OSError if it cannot be read.
    """
    with place.open("rb") if isinstance(place, Path) else place as file:
        _check_seal(file)
        file.seek(0)
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
        except (OSError, MemoryError):
            raise
        except Exception as error:
            raise ValueError("it is no state of a training") from error
    if not isinstance(state, dict):
        raise ValueError("it is no state of a training")
    return state


def _seal(file: BinaryIO, size: int) -> bytes:
    """Of the first `size` bytes; leaves the file right behind them."""
    digest = hashlib.blake2b(digest_size=16)
    file.seek(0)
    for at in range(0, size, PIECE):
        digest.update(file.read(min(PIECE, size - at)))
    return SEAL + digest.hexdigest().encode()


def _check_seal(file: BinaryIO) -> None:
    size = file.seek(0, io.SEEK_END)
    if size < END_BYTES + SEAL_BYTES:
        raise ValueError("it is cut short")
    file.seek(size - SEAL_BYTES - END_BYTES)
    tail = file.read()
    is_sealed = tail[-SEAL_BYTES:].startswith(SEAL)
    whole = tail[-SEAL_BYTES:] == _seal(file, size - SEAL_BYTES) if is_sealed else tail[-END_BYTES:].startswith(END)
    if not (whole and _parts_are_whole(file, size, are_sealed=is_sealed)):
        raise ValueError("it is damaged, or another kind of file: its checksum is not that of its content")


def _parts_are_whole(file: BinaryIO, size: int, are_sealed: bool) -> bool:
    """Whether no part inflates, nor lies there twice, and each without a seal has its own checksum."""
    try:
        with zipfile.ZipFile(file) as archive:
            parts = archive.infolist()
            stored = all(part.compress_type == zipfile.ZIP_STORED for part in parts)
            fits = sum(part.file_size for part in parts) <= size
            return stored and fits and (are_sealed or archive.testzip() is None)
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError, OverflowError):
        return False


def part(state: Any, name: str) -> Any:
    """Raises ValueError if a record has no such entry."""
    if not isinstance(state, dict) or name not in state:
        raise ValueError(f"it has no {name}")
    return state[name]


def number(value: Any, what: str, least: float = -math.inf, most: float = math.inf) -> float:
    """Raises ValueError for what is no number from `least` to `most`."""
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"its {what} is {str(value)[:40]}, which cannot be")
    return value


def tensors_like(given: Any, wanted: Sequence[Tensor], what: str, least: float = -math.inf) -> list[Tensor]:
    """Return copies of the tensors `given`, laid out in memory like `wanted`, and on their devices.

    Raises ValueError unless they are as many, of the same shapes, and of finite numbers from `least` on.
    """
    if not isinstance(given, list | tuple) or len(given) != len(wanted):
        count = len(given) if isinstance(given, list | tuple) else "no"
        raise ValueError(f"it holds {count} {what}, and the network has {len(wanted)}")
    return [_like(one, like, what, least) for one, like in zip(given, wanted, strict=True)]


def _like(given: Any, wanted: Tensor, what: str, least: float) -> Tensor:
    if not isinstance(given, Tensor) or given.layout != torch.strided or given.is_meta:
        raise ValueError(f"one of its {what} is no tensor")
    if given.shape != wanted.shape:
        shapes = [" x ".join(map(str, one.shape)) or "()" for one in (given, wanted)]
        raise ValueError(f"one of its {what} has the shape {shapes[0]} and not {shapes[1]}")
    if given.dtype != wanted.dtype and not (given.is_floating_point() and wanted.is_floating_point()):
        raise ValueError(f"one of its {what} holds {given.dtype} and not {wanted.dtype}")
    copied = torch.empty_like(wanted, requires_grad=False).copy_(given.detach())
    if copied.is_floating_point() and not bool((torch.isfinite(copied) & (copied >= least)).all()):
        raise ValueError(f"its {what} hold numbers that cannot be, such as NaN")
    return copied


def adam_like(given: Any, masters: Sequence[Tensor], step: int) -> dict[int, dict[str, Tensor]]:
    """Return the moments of Adam or AdamW after at most `step` steps, for these weights.

    Raises ValueError for a state that does not fit them.
    """
    found = part(given, "state")
    if not isinstance(found, dict) or not all(key in range(len(masters)) for key in found):
        raise ValueError("its optimiser is that of another network")
    moved: dict[int, dict[str, Tensor]] = {}
    for key, moments in found.items():
        steps = number(part(moments, "step"), "step of the optimiser", 0, step)
        (mean,) = tensors_like([part(moments, "exp_avg")], [masters[key]], "means of the gradient")
        (square,) = tensors_like([part(moments, "exp_avg_sq")], [masters[key]], "means of the gradient's square", 0)
        count = torch.tensor(float(steps), dtype=torch.float32, device=masters[key].device)
        moved[key] = {"step": count, "exp_avg": mean, "exp_avg_sq": square}
    return moved
