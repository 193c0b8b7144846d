"""Nothing is reported to anybody: whole processes, in a home of their own, that the system ends at the first socket."""

import os
import subprocess
import sys
from importlib import util
from pathlib import Path

import pytest

GUARD = """
import ctypes, platform, struct, sys

def forbid_the_internet():
    "By seccomp(2), for native code too: asking for a socket of an internet protocol ends the process."
    call = {"x86_64": 41, "aarch64": 198}.get(platform.machine())  # socket(2)
    if sys.platform != "linux" or call is None:
        return
    load, equal, end = 0x20, 0x15, 0x06  # linux/bpf_common.h; 0 and 16: the call's number and its first argument
    steps = [(load, 0, 0, 0), (equal, 0, 4, call), (load, 0, 0, 16), (equal, 1, 0, 2), (equal, 0, 1, 10)]
    steps += [(end, 0, 0, 0x80000000), (end, 0, 0, 0x7FFF0000)]
    filters = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("HP", len(steps), ctypes.addressof(filters)))
    ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)  # no new privileges, without which filters are for root
    ctypes.CDLL(None).prctl(22, 2, program, 0, 0)

def hear(event, arguments):
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.connect"):
        sys.stderr.write(f"{event} {arguments}\\n")
        sys.stderr.flush()
        import os
        os._exit(99)

sys.addaudithook(hear)
forbid_the_internet()
"""

DEBLUR = """
import sys, time, torch
from dualpix import deblur
from dualpix.networks import create
small = create("mccnet-fast", widths=(4, 4, 8, 8), depths=(1, 1, 0, 0, 0, 0, 0)).eval()
view = torch.rand(3, 24, 32)
deblur(view, view.roll(1, 2), small, engine={engine!r}, precision="fp32")
time.sleep(0.2)  # what reports does so from a thread
"""

ONNX = """
import time
from dualpix.weights.exported import package
runtime, onnx, _ = (package(name, "onnx") for name in ("onnxruntime", "onnx", "onnxscript"))
make = onnx.helper
ports = [make.make_tensor_value_info(name, 1, [1]) for name in "ab"]
graph = make.make_graph([make.make_node("Identity", ["a"], ["b"])], "g", ports[:1], ports[1:])
model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8)
session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
assert session.run(None, {"a": __import__("numpy").ones(1, "float32")})
time.sleep(0.2)
"""  # Converting a network takes a minute; what reports is there without it.

PICTURES = f"""
import tempfile, imagecodecs, numpy
from pathlib import Path
from dualpix import read_picture
read_picture({str(Path(__file__).parent / "io" / "formats" / "heic" / "grid.heic")!r})
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "a.avif"
    path.write_bytes(imagecodecs.avif_encode(numpy.zeros((32, 32, 3), "uint8")))
    read_picture(path)
"""

# s3fs cannot be among these: urllib3, which it needs, makes a socket of its own to see whether there is IPv6.
LIBRARIES = """
from importlib import import_module, util
def there(name): return util.find_spec(name) is not None
if there("matplotlib"):
    from matplotlib.figure import Figure
    Figure().subplots().plot([1, 2])
if there("h5py"): __import__("h5py").File("x.h5", "w").close()
names = ["dualpix.classical.jnb", "dualpix.classical.ebdb", "dualpix.web.serving", "dualpix.weights.hub"]
needs = dict(zip(names, ["scipy", "skimage", "starlette", "huggingface_hub"]))
needs |= {name: name for name in ("rawpy", "av", "huggingface_hub", "fsspec", "pyarrow.parquet", "lpips")}
for name, need in needs.items():
    if there(need.partition(".")[0]): import_module(name)
"""

TRACKER = """
import tempfile
from pathlib import Path
from dualpix.training.recipes import RECIPES
from dualpix.training.tracking import Tracking
with tempfile.TemporaryDirectory() as folder:
    tracking = Tracking({name!r}, Path(folder), RECIPES["tiny"])
    tracking.note = lambda told: exit(told)
    tracking.hear({{"step": 1, "loss": 0.5}})
    tracking.close()
    assert list(Path(folder).rglob("*"))
"""

USES = {
    "torch": (DEBLUR.format(engine="torch"), "torch"),
    "openvino": (DEBLUR.format(engine="openvino"), "openvino"),
    "onnx": (ONNX, "onnxruntime"),
    "heif": (PICTURES, "pi_heif"),
    "tensorboard": (TRACKER.format(name="tensorboard"), "tensorboard"),
    "mlflow": (TRACKER.format(name="mlflow"), "mlflow"),
    "libraries": (LIBRARIES, "torch"),
}


def run(code: str, home: Path) -> subprocess.CompletedProcess[str]:
    home.mkdir(exist_ok=True)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("XDG_", "ORT_DISABLE", "MPLCONFIG")) and name != "CI"  # where some keep still
    }
    places = {"HOME": str(home), "USERPROFILE": str(home), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-c", GUARD + code], cwd=home, env=kept | places, capture_output=True, text=True, timeout=300
    )


@pytest.mark.parametrize("use", USES)
def test_nothing_is_connected_to_and_no_mark_is_left_in_the_home(use: str, tmp_path: Path) -> None:
    code, package = USES[use]
    if util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    done = run(code, tmp_path / "home")
    assert done.returncode == 0, done.stderr[-2000:]
    left = {path.relative_to(tmp_path / "home").as_posix() for path in (tmp_path / "home").rglob("*")}
    ours = (".cache/dualpix", ".cache/matplotlib", ".config/matplotlib", "x.h5")  # its list of fonts
    assert {name for name in left if not name.startswith(ours)} <= {".cache", ".config"}


@pytest.mark.skipif(sys.platform != "linux", reason="filters of system calls are Linux's")
@pytest.mark.parametrize(
    "code",
    [
        "import socket; socket.getaddrinfo('localhost', 443)",
        "import ctypes; ctypes.CDLL(None).socket(2, 1, 0)",
        "import socket; socket.socket()",
    ],
)
def test_the_guard_sees_what_goes_out(code: str, tmp_path: Path) -> None:
    assert run(code, tmp_path / "home").returncode != 0
