"""Shared by all tests: small picture files, written by another library than the package reads with, and the command."""

import os
import signal
import struct
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "3000")  # as `dualpix.machine.threads` has it; before torch, which reads it

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from typer.testing import CliRunner

from dualpix import cli, training
from dualpix.inference import rates
from dualpix.training import sources
from dualpix.weights import checkpoint
from small_networks import TINY, tiny

Writer = Callable[..., Path]
Views = Callable[..., tuple[np.ndarray, np.ndarray]]
Command = Callable[..., tuple[int, str, str]]

# Shells start what runs in the background deaf to Ctrl-C, and nohup deaf to a closed terminal; and so would be all
# processes that the tests start.
for number, handler in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)


def pytest_configure() -> None:
    """No test's numbers depend on how fast the machine is in bf16 just now, nor on what the user's cache says of it;
    those of processes that tests start neither."""
    os.environ[rates.SWITCH] = "1"


FAILED: list[pytest.TestReport] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed:
        FAILED.append(report)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """When a process of the tests ends in a mistake of pytest itself, that hides what had failed before it."""
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    if exitstatus == pytest.ExitCode.INTERNAL_ERROR and terminal is not None:
        for report in FAILED:
            terminal.write_line(f"\nFAILED before: {report.nodeid} ({report.when})\n{report.longreprtext}")


@pytest.fixture
def write_png() -> Writer:
    """`write_png(path, value, width=, height=)`: an 8-bit RGB PNG of one grey `value` (0..255), or of a given array."""

    def write(path: Path, value: int | np.ndarray = 128, width: int = 24, height: int = 16) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = value if isinstance(value, np.ndarray) else np.full((height, width, 3), value, dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    return write


@pytest.fixture
def views() -> Views:
    """`views(shift_px=2, height=224, width=256)`: a texture seen twice, H x W x 3 uint16. Its lower half is in focus;
    the right view sees the upper half `shift_px` further right."""

    def make(shift_px: int = 2, height: int = 224, width: int = 256) -> tuple[np.ndarray, np.ndarray]:
        noise = torch.rand(1, 3, height + 4, width + 24, generator=torch.Generator().manual_seed(0))
        smooth = torch.nn.functional.avg_pool2d(noise, 5, 1)[0].permute(1, 2, 0).numpy()
        texture = np.round(65535 * smooth).astype(np.uint16)
        left, right = texture[:, 10 : width + 10], texture[:, 10 - shift_px : width + 10 - shift_px].copy()
        right[height // 2 :] = left[height // 2 :]
        return left, right

    return make


@pytest.fixture
def folder(tmp_path: Path, views: Views, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder, in which commands run: a good pair, `deep_L.tif` (16 bit) and `p_L.png` (8 bit) with their right
    views, and `w.safetensors`, the weights of a tiny mccnet-fast."""
    for name, view in zip("LR", views(), strict=True):
        tifffile.imwrite(tmp_path / f"deep_{name}.tif", view)
        Image.fromarray((view // 257).astype(np.uint8)).save(tmp_path / f"p_{name}.png")
    checkpoint.save(tmp_path / "w.safetensors", tiny(), "mccnet-fast", TINY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def dualpix() -> Command:
    """`dualpix("deblur", "--help")`, in this process: exit code, stdout, stderr."""

    def run(*words: str) -> tuple[int, str, str]:
        done = CliRunner().invoke(cli.app, list(words), prog_name="dualpix")
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, done.stdout, done.stderr

    return run


@pytest.fixture
def short_trainings(monkeypatch: pytest.MonkeyPatch) -> int:
    """For trainings in this process of a few steps, most of whose time would be two things that those in processes of
    their own have: a process that renders ahead, and many pictures to validate on. Returns how many those are now."""

    class Nobody(nullcontext):
        def __init__(self, *given: Any) -> None:
            super().__init__(self)

        def reach(self, step: int) -> None: ...

    monkeypatch.setattr(sources, "VALIDATION_PICTURES", 3)
    monkeypatch.setattr(training, "RenderingAhead", Nobody)
    return 3


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Curves take longer than a few steps of training; without matplotlib none is drawn."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)


def raw_file(
    frames: list[np.ndarray], kind: str = "dng", black: tuple[int, ...] = (0,) * 4, tags: dict[int, tuple] | None = None
) -> bytes:
    """A raw file that LibRaw opens, uncompressed, RGGB, H x W uint16 frames, camera white balance 2, 1, 1.6.

    "dng": one directory with as many samples a pixel as frames, in which `black` is that of the four photosites, white
    is 15000, and colours after the balance are those of linear sRGB. "cr2": one directory for each frame, named as a
    Canon EOS 5D Mark IV names it; LibRaw then takes black as 0 and white as 65535. No camera wrote these: none of its
    compression, margins and maker's notes are there. `tags` replace or add tags; an empty one leaves it out.
    """
    height, width = frames[0].shape
    pages = [np.stack(frames, axis=-1)] if kind == "dng" else frames
    common = {256: ("I", width), 257: ("I", height), 259: ("H", 1), 262: ("H", 32803), 278: ("I", height)}
    common |= {
        271: ("s", b"Canon\0"),
        272: ("s", b"Canon EOS 5D Mark IV\0"),
        33421: ("H", 2, 2),
        33422: ("B", 0, 1, 1, 2),
    }
    if kind == "dng":
        matrix = [part for value in SRGB_OF_XYZ for part in (round(10000 * value), 10000)]
        common |= {50706: ("B", 1, 4, 0, 0), 50713: ("H", 2, 2), 50714: ("I", *black), 50721: ("i", *matrix)}
        common |= {50717: ("I", *[15000] * len(frames)), 50728: ("r", 5, 10, 1, 1, 625, 1000)}
    out = b"II*\0\x08\0\0\0"
    for number, page in enumerate(pages):
        samples = page.shape[2] if page.ndim == 3 else 1
        content = page.astype("<u2").tobytes()
        own = {258: ("H", *[16] * samples), 277: ("H", samples), 279: ("I", len(content)), 273: ("I", 0)}
        entries = {tag: values for tag, values in (common | own | (tags or {})).items() if values}
        start = len(out) + len(_directory(entries, 0, 0))
        following = start + len(content) if number + 1 < len(pages) else 0
        table = _directory(entries | {273: ("I", start)}, len(out), following)
        out += table + content
    return out


SRGB_OF_XYZ = (3.2406, -1.5372, -0.4986, -0.9689, 1.8758, 0.0415, 0.0557, -0.2040, 1.0570)  # IEC 61966-2-1
TIFF_KINDS = {"B": (1, 1), "s": (2, 1), "H": (3, 2), "I": (4, 4), "r": (5, 8), "i": (10, 8)}


def _directory(tags: dict[int, tuple], at: int, following: int) -> bytes:
    fields, behind, base = b"", b"", at + 6 + 12 * len(tags)
    for tag, (layout, *values) in sorted(tags.items()):
        code, size = TIFF_KINDS[layout]
        whole = (
            values[0] if layout == "s" else struct.pack(f"<{len(values)}{ {'r': 'I'}.get(layout, layout) }", *values)
        )
        head = struct.pack("<HHI", tag, code, len(whole) // size)
        fields += head + (whole.ljust(4, b"\0") if len(whole) <= 4 else struct.pack("<I", base + len(behind)))
        behind += whole if len(whole) > 4 else b""
        behind += b"\0" * (len(behind) % 2)
    return struct.pack("<H", len(tags)) + fields + struct.pack("<I", following) + behind


@pytest.fixture
def raw() -> Callable[..., bytes]:
    """`raw(frames, kind="dng", black=, tags=)`: the bytes of a raw file with these frames."""
    return raw_file
