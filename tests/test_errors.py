"""Memory that runs out, or a device that fails, is told in one sentence. Only a limit makes memory run out."""

import ast
import errno
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
import typer

from dualpix.cli import app
from dualpix.errors import (
    DualpixError,
    MachineError,
    PairError,
    as_flag,
    device_failed,
    machine_fault,
    machine_told,
    option,
    ran_out_of_memory,
    spelled_as,
    told,
)
from dualpix.evaluation.predicting import sentence
from dualpix.web.job import http_error_of

FLAG = re.compile(r"(?:^|[ (`;:,])--[a-z][\w-]+(?!\S*=)(?=[ .,;:)`]|$)")
SOURCES = Path(__file__).parents[1] / "src" / "dualpix"


def test_each_entry_spells_an_option_in_its_own_way() -> None:
    error = PairError(
        f"a {{b}} is odd; {option('force')}, {option('layout', 'raw')}, {option('strip-metadata', None)}."
    )
    in_python = "a {b} is odd; force=True, layout='raw', strip_metadata=."
    on_the_command_line = "a {b} is odd; --force, --layout raw, --strip-metadata."
    assert str(error) == in_python and str(pickle.loads(pickle.dumps(error))) == in_python
    with spelled_as(as_flag):
        assert str(error) == on_the_command_line and str(DualpixError(f"Of it: {error}")).endswith(on_the_command_line)
        assert told(f"With {option('memory', None)}.") == "With --memory."
    assert str(error) == in_python
    assert error.options == {"force": "True", "layout": "raw", "strip-metadata": None}
    assert str(MachineError(f"Give {option('method', 'a=FILE', python='methods=')}.")) == "Give methods=."


def flags() -> set[str]:
    """Of all commands."""
    commands = typer.main.get_command(app).commands.values()  # type: ignore[attr-defined]
    return {flag for command in commands for parameter in command.params for flag in parameter.opts}


def test_errors_name_options_that_there_are_and_spell_none_themselves() -> None:
    """`band-rows` is an option of Python alone; `origin.py` calls git. Whole commands may be told: `dualpix x --y`."""
    named, spelled = set(), []
    for path in SOURCES.rglob("*.py"):
        source = path.read_text()
        named |= set(re.findall(r"""\boption\(["']([\w-]+)["']""", source))
        if path.relative_to(SOURCES).parts[0] not in ("cli", "web", "errors.py") and path.name != "origin.py":
            words = {node.value for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant)}
            spelled += [
                f"{path.name}: {word}"
                for word in words
                if isinstance(word, str) and FLAG.search(re.sub(r"`(?:dualpix|ray) [^`]*`", "", word))
            ]
    assert len(named) > 10 and {f"--{name}" for name in named} - flags() == {"--band-rows"}
    assert spelled == []


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("could not create a primitive"),
        RuntimeError("can't start new thread"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"),
    ],
)
def test_what_says_that_the_memory_ran_out(error: Exception) -> None:
    assert ran_out_of_memory(error) and not device_failed(error)
    with (
        pytest.raises(MachineError, match=r"^The memory ran out; free some, or use smaller pictures\.$"),
        machine_told(),
    ):
        raise error


@pytest.mark.parametrize(
    "said",
    [
        "CUDA error: an illegal memory access was encountered",
        "CUDA driver error: unknown error",
        "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm( handle, opa)`",
        "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
        "HIP error: unspecified launch failure",
        "Triton Error [CUDA]: an illegal memory access was encountered",
    ],
)
def test_a_device_that_fails_is_one_sentence(said: str) -> None:
    error = RuntimeError(f"{said}\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1")
    assert device_failed(error) and not ran_out_of_memory(error)
    told_as = rf"^The device failed \({re.escape(said)}\); start again, on the CPU if it fails again\.$"
    with pytest.raises(MachineError, match=told_as), machine_told():
        raise error
    assert sentence(error) == machine_fault(error) == http_error_of(error, Path()).sentence


@pytest.mark.parametrize("error", [RuntimeError("shapes do not fit"), OSError(errno.ENOSPC, "full"), ValueError("x")])
def test_other_errors_stay_what_they_are(error: Exception) -> None:
    with pytest.raises(type(error)), machine_told():
        raise error


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not keep to such limits")
def test_memory_that_runs_out_outside_of_the_bands_is_one_sentence(folder: Path) -> None:
    """Limits from so little that the views are hardly read to so much that they are compared."""
    noise = np.random.default_rng(0).integers(0, 65535, (700, 1000, 3), dtype=np.uint16)
    for number, side in enumerate("LR"):
        tifffile.imwrite(folder / f"big_{side}.tif", np.roll(noise, 2 * number, axis=1))
    code = """
import os, resource, sys
import torch, dualpix.inference.deblur, dualpix.inference.pipeline, dualpix.inference.batch
from dualpix.cli import app
from dualpix.pairs import open_views
now = 4096 * int(open("/proc/self/statm").read().split()[0])
for more in (20, 60, 100):
    if not os.fork():
        resource.setrlimit(resource.RLIMIT_AS, (now + more * 10**6,) * 2)
        app(["deblur", "big_L.tif", "big_R.tif", "-o", "o.tif", "-w", "w.safetensors", "--force"], prog_name="dualpix")
    print(os.waitpid(-1, 0)[1] >> 8, flush=True)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("Note")]
    assert done.stdout.split() == ["1"] * 3, done.stderr
    assert len(lines) == 3 and all(line.startswith("dualpix: ") and line.endswith(".") for line in lines), done.stderr
    assert not (folder / "o.tif").exists()
