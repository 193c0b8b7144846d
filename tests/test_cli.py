"""The command line keeps its promises on good files; `test_cli_bad_input.py` has the others."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from dualpix import __version__, networks
from dualpix.evaluation import demo
from dualpix.evaluation.systems import TABLE_ROWS
from dualpix.inference import deblur
from dualpix.weights import checkpoint
from dualpix.weights.checkpoint import DEFAULT_WEIGHTS

Command = Callable[..., tuple[int, str, str]]
Views = Callable[..., tuple[np.ndarray, np.ndarray]]
COMMAND = Path(sys.executable).with_name("dualpix")
COMMANDS = [
    "deblur",
    "refocus",
    "demo",
    "simulate",
    "train",
    "evaluate",
    "methods",
    "import-weights",
    "export",
    "calibrate",
    "doctor",
    "web",
]
HEIGHT, WIDTH = 224, 256
SMALL = {"fusion": False, "extraction": False, "correlation": False}


def run(*words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the command in a process of its own."""
    done = subprocess.run([COMMAND, *words], capture_output=True, text=True, timeout=600)
    return done.returncode, done.stdout, done.stderr


def levels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture, dtype=float)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example(dualpix: Command, command: str) -> None:
    code, out, _ = dualpix(command, "--help")
    assert code == 0
    assert f"dualpix {command}" in out.partition("Example")[2]


def test_help_lists_the_commands_and_loads_nothing_heavy() -> None:
    code = (
        "import sys; from dualpix.cli import main; sys.argv = ['dualpix', '--help']\ntry: main()\nexcept SystemExit: "
    )
    code += "print(sorted(name for name in ('torch', 'numpy', 'PIL', 'rich') if name in sys.modules))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60)
    assert all(f"  {command} " in done.stdout for command in COMMANDS)
    assert done.stdout.endswith("[]\n")


def test_the_version_is_that_of_the_package() -> None:
    assert run("--version") == (0, f"dualpix {__version__}\n", "")


def test_a_pair_of_16_bit_gives_the_picture_of_the_python_door(folder: Path) -> None:
    code, out, err = run("deblur", "deep_L.tif", "deep_R.tif", "-o", "out.tif", "-w", "w.safetensors")
    assert code == 0 and err.startswith("Changed ") and err.count("\n") == 1
    assert out.startswith(f"out.tif: {WIDTH} x {HEIGHT} pixels")
    written = tifffile.imread(folder / "out.tif")
    expected = deblur.deblur(*(folder / f"deep_{name}.tif" for name in "LR"), folder / "w.safetensors")
    assert written.dtype == np.uint16
    assert np.abs(written - 65535.0 * expected.permute(1, 2, 0).numpy()).max() < 1


@pytest.mark.parametrize(
    ("inputs", "output", "options", "depth"),
    [
        ("p_{}.png", "out.png", [], 8),
        ("p_{}.png", "out.png", ["--depth", "16"], 16),
        ("deep_{}.tif", "out.png", [], 16),
        ("deep_{}.tif", "out.png", ["--depth", "8"], 8),
    ],
)
def test_the_depth_is_that_of_the_views_or_what_is_asked(
    dualpix: Command, folder: Path, inputs: str, output: str, options: list[str], depth: int
) -> None:
    left, right = inputs.format("L"), inputs.format("R")
    assert dualpix("deblur", left, right, "-o", output, "-w", "w.safetensors", *options)[0] == 0
    assert (folder / output).read_bytes()[24] == depth  # the bit depth in a PNG's header


def test_a_budget_is_kept_by_bands_and_said(dualpix: Command, folder: Path) -> None:
    words = ["deblur", "p_L.png", "p_R.png", "-w", "w.safetensors", "--precision", "fp32"]
    sample = deblur.as_sample("p_L.png", "p_R.png")
    plan = deblur.deblur_pair(sample, "w.safetensors", precision="fp32").plan
    whole = dualpix(*words, "-o", "whole.png", "--memory", str(plan.peak_bytes))
    bands = dualpix(*words, "-o", "bands.png", "--memory", str(plan.peak_bytes - 1))
    assert "(whole, fp32" in whole[1]
    assert "(2 bands of" in bands[1]
    assert np.abs(levels(folder / "whole.png") - levels(folder / "bands.png")).max() <= 1


def test_an_odd_pair_is_refused_unless_told_otherwise(dualpix: Command, folder: Path) -> None:
    swapped = ["deblur", "p_R.png", "p_L.png", "-o", "out.png", "-w", "w.safetensors"]
    code, _, err = dualpix(*swapped)
    assert code == 1 and "swapped" in err and "--force" in err
    old = dualpix(*swapped, "--anyway")
    assert old[0] == 0 and "--anyway is called --force now" in old[2]
    code, _, err = dualpix(*swapped, "--force", "--overwrite")
    assert code == 0 and "Note: The views look swapped" in err
    assert (folder / "out.png").exists()


def test_what_exists_is_replaced_only_when_told(dualpix: Command, folder: Path) -> None:
    (folder / "out.png").write_text("mine")
    words = ["deblur", "p_L.png", "p_R.png", "-o", "out.png", "-w", "w.safetensors"]
    assert dualpix(*words)[0] == 1
    assert (folder / "out.png").read_text() == "mine"
    assert dualpix(*words, "--overwrite")[0] == 0
    assert levels(folder / "out.png").shape == (HEIGHT, WIDTH, 3)


def test_mirrored_results_are_averaged_and_it_is_said(dualpix: Command, folder: Path) -> None:
    words = ["deblur", "p_L.png", "p_R.png", "-w", "w.safetensors", "-o", "mean.png", "--mirror"]
    code, out, err = dualpix(*words)
    assert code == 0 and err.startswith("Changed ") and "(whole, mean of 4 mirrored" in out
    expected = deblur.deblur("p_L.png", "p_R.png", "w.safetensors", mirror=True)
    assert np.abs(levels(folder / "mean.png") - 255 * expected.permute(1, 2, 0).numpy()).max() < 0.51


def test_methods_lists_every_method_network_and_weights(
    dualpix: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "WEIGHTS", {"mccnet": str(folder / "w.safetensors")})
    code, out, _ = dualpix("methods")
    assert code == 0
    methods, names, weights = (part.splitlines() for part in out.split("\n\n"))
    lines = {line.split()[0]: line for line in methods[1:]}
    assert lines.keys() == TABLE_ROWS.keys()
    for words in ("two: left, right", "5.52 M", "980 + 85", "shipped"):
        assert words in lines["MCCNet"]
    assert "one: center" in lines["MDP"] and lines["MDP"].endswith("no weights")
    assert lines["oracle-map"].endswith("none needed") and "blur_px" in lines["oracle-map"]
    assert names[0].removeprefix("networks: ").split(", ") == [*networks.NETWORKS, *networks.DEFOCUS_ESTIMATORS]
    assert [line.split()[:2] for line in weights[1:]] == [["mccnet", "mccnet-fast"]]


@pytest.fixture
def bundled(folder: Path, monkeypatch: pytest.MonkeyPatch, views: Views) -> Path:
    """A small pair in place of the bundled one."""
    place = folder / "bundled"
    place.mkdir()
    left, right = views()
    for name, view in {"left": left, "right": right, "sharp": views(1)[1]}.items():
        tifffile.imwrite(place / f"{name}.tif", view)
    (place / "README.md").write_text("# The pair\n\nFrom *Stones* by\nA. Person (CC0).\n\nMore.\n")
    files = {path.stem: path for path in place.glob("*.tif")}
    monkeypatch.setattr(demo, "bundled_pair", lambda: files)
    return place


def test_the_demonstration_scores_and_shows(dualpix: Command, folder: Path, bundled: Path) -> None:
    for _ in range(2):  # A second time over the first.
        code, out, err = dualpix("demo", "-w", "w.safetensors")
        assert (code, err) == (0, "")
    result = levels(folder / "demo" / "side-by-side.png") / 255
    blurred, after, sharp = (result[:, start : start + WIDTH] for start in (0, WIDTH + 8, 2 * WIDTH + 16))
    psnr = {name: -10 * np.log10(np.mean((x - sharp) ** 2)) for name, x in (("before", blurred), ("after", after))}
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert lines["From"] == "From *Stones* by A. Person (CC0)."
    for name, value in psnr.items():
        assert float(lines[name].split()[2]) == pytest.approx(value, abs=0.1)
    assert result.shape == (HEIGHT, 3 * WIDTH + 16, 3)
    assert (folder / "demo" / "result.png").read_bytes()[24] == 16


SHIPPED = Path(checkpoint.__file__).parent / "weights" / checkpoint.WEIGHTS[DEFAULT_WEIGHTS]


@pytest.mark.skipif(not SHIPPED.exists(), reason="no weights are shipped yet")
def test_the_bundled_pair_gains_from_the_default_weights(folder: Path) -> None:
    code, out, _ = run("demo")
    assert code == 0
    gain = next(line for line in out.splitlines() if line.startswith("gain"))
    assert float(gain.split()[1]) > 0.5


def test_evaluate_prints_the_summary_and_counts_failures(dualpix: Command, folder: Path, views: Views) -> None:
    for name, view in zip(("left", "right", "sharp"), (*views(), views(1)[1]), strict=True):
        for scene in ("a", "b"):
            path = folder / "pairs" / name / f"{scene}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, view)
    (folder / "theirs").mkdir()
    tifffile.imwrite(folder / "theirs" / "a.tif", views(1)[1])
    methods = ["-m", "w.safetensors", "-m", "theirs=theirs"]
    code, out, err = dualpix("evaluate", "pairs", *methods, "-o", "results", "--protocol", "dpdd-8bit")
    assert code == 1 and "1 pictures failed" in err
    assert "| w |" in out and "| theirs | inf" in out and "theirs, b:" in out
    assert (folder / "results" / "summary.md").read_text().strip() == out.strip()
    assert dualpix("evaluate", "pairs", "-m", "w.safetensors", "-m", "w.safetensors")[0] == 2
    code, out, err = dualpix("evaluate", "pairs", "-m", "w.safetensors")
    assert (code, err) == (0, "")
    checkpoint.save(folder / "m.safetensors", networks.create("mccnet", **SMALL), "mccnet", SMALL)
    words = ["--methods", "mdp,MCCNet", "-m", "MCCNet=m.safetensors", "-o", "rows", "--scenes", "0"]
    code, out, err = dualpix("evaluate", "pairs", *words)
    assert (code, err) == (0, "")
    assert "| MDP | no weights |" in out and "- MDP: no weights; train some" in out
    assert "two: left, right" in next(line for line in out.splitlines() if line.startswith("| MCCNet | "))


def test_a_full_disk_is_one_sentence(folder: Path) -> None:
    """Stands for it: a process that may not write files longer than a few kilobytes."""
    start = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    start += "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); from dualpix.cli import main; main()"
    words = ["deblur", "deep_L.tif", "deep_R.tif", "-o", "out.png", "-w", "w.safetensors"]
    before = sorted(folder.iterdir())
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}  # it has a long file
    done = subprocess.run([sys.executable, "-c", start, *words], capture_output=True, text=True, timeout=600, env=env)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "out.png" in done.stderr
    assert sorted(folder.iterdir()) == before


@pytest.fixture
def photos(folder: Path, views: Views) -> Path:
    """Two small photographs."""
    (folder / "photos").mkdir()
    for name, view in zip("ab", views(), strict=True):
        Image.fromarray((view // 257).astype(np.uint8)).save(folder / "photos" / f"{name}.png")
    return folder / "photos"


def test_simulate_makes_pairs_that_evaluate_reads(dualpix: Command, folder: Path, photos: Path) -> None:
    words = ["simulate", "photos", "-o", "pairs", "--size", "48", "--seed", "3"]
    assert dualpix(*words, "--count", "1") == (0, "pairs: 1 pairs made\n", "")
    assert dualpix(*words, "--count", "2") == (0, "pairs: 1 pairs made, 1 were there already\n", "")
    for name in ("left", "right", "center", "sharp"):
        assert [levels(path).shape for path in sorted((folder / "pairs" / name).iterdir())] == [(48, 48, 3)] * 2
    code, out, err = dualpix("evaluate", "pairs", "-m", "w.safetensors", "--scenes", "0")
    assert (code, err) == (0, "") and "| w |" in out
    code, _, err = dualpix("simulate", "photos", "-o", "pairs", "--size", "64")
    assert code == 1 and "--overwrite" in err


def test_simulate_takes_a_photograph_with_its_depth(dualpix: Command, folder: Path, photos: Path) -> None:
    np.save(folder / "room.npy", np.linspace(1, 4, 224 * 256, dtype=np.float32).reshape(224, 256))
    words = ["simulate", "photos/a.png", "--depth-map", "room.npy", "--focus", "2", "-o", "pairs"]
    assert dualpix(*words) == (0, "pairs: 1 pairs made\n", "")
    blur_px = np.load(folder / "pairs" / "blur" / "a.npy")
    assert blur_px[0, 0] < -1 and blur_px[-1, -1] > 1
    left, right = (levels(folder / "pairs" / side / "a.png") for side in ("left", "right"))
    assert np.abs(left - right)[-20:].mean() > 5 * np.abs(left - right)[70:80].mean()


@pytest.mark.usefixtures("short_trainings", "undrawn")
def test_train_reports_resumes_and_leaves_weights_to_use(dualpix: Command, folder: Path, photos: Path) -> None:
    words = [
        "train",
        "tiny",
        "pool=2",
        "crop=32",
        "scene=48",
        "validate_every=2",
        "decay_steps=1",
        "--photos",
        "photos",
        "-o",
        "run",
    ]
    code, out, err = dualpix(*words, "steps=2")
    assert (code, err) == (0, "")
    assert "step 2 of 2: loss 0." in out and "step 2: validation psnr" in out and "run/best.safetensors" in out
    assert "crops/s (" in out and "computing" in out and " min left" in out
    code, out, err = dualpix(*words, "steps=3")
    assert "resumed at step 2" in out and "step 3 of 3" in out
    code, out, err = dualpix(*words, "steps=3", "rate=1")
    assert (
        code == 1
        and err.startswith("Note: rate is called learning_rate now.\ndualpix: ")
        and "learning_rate 0.0004 -> 1.0" in err
    )
    code, _, err = dualpix("deblur", "p_L.png", "p_R.png", "-o", "out.png", "-w", "run/best.safetensors")
    assert code == 0 and err.startswith("Changed ") and "trained on up to 8.0" in err


def test_an_interrupted_training_can_be_resumed(folder: Path, photos: Path) -> None:
    words = ["train", "tiny", "steps=100000", "pool=2", "fresh=0", "validate_every=100000", "crop=32", "scene=48"]
    words += ["--photos", "photos"]
    process = subprocess.Popen([COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("step 20 of 100000: loss")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 130
    assert err.startswith("Stopped after step") and err.endswith("the same command resumes.\n")
    assert (folder / "run" / "last.pt").exists()


def test_interrupted_it_stops_at_once_and_leaves_nothing(folder: Path, views: Views) -> None:
    for name, view in zip("LR", views(2, 1100, 1100), strict=True):
        tifffile.imwrite(folder / f"big_{name}.tif", view)
    before = sorted(folder.iterdir())
    words = ["deblur", "big_L.tif", "big_R.tif", "-o", "out.png", "-w", "mccnet"]
    process = subprocess.Popen([COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    ticks = 0
    while ticks < 4 * os.sysconf("SC_CLK_TCK"):  # Of processor time: everything is loaded by then.
        time.sleep(0.05)
        assert process.poll() is None, "it was done before it could be interrupted"
        ticks = int(Path(f"/proc/{process.pid}/stat").read_text().split(")")[1].split()[11])
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=600)
    assert (process.returncode, out, err) == (130, "", "Stopped.\n")
    assert sorted(folder.iterdir()) == before
