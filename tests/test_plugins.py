"""Packages that add to the tables: installed by pip as a user does, and used through every entry."""

from pathlib import Path

import pytest

from plugin_packages import install, install_example, python

USE = """
from dataclasses import replace
import contextlib, io, struct, sys, warnings
import numpy as np, torch
import dualpix
from dualpix.cli import main
from dualpix.plugins import PluginWarning

def run(*words):
    sys.argv, output = ["dualpix", *words], io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        main()
    return output.getvalue()

warnings.simplefilter("ignore", PluginWarning)
rng = np.random.default_rng(0)
pictures = rng.integers(0, 255, (3, 40, 48, 3), dtype=np.uint8)
for name, picture in zip(("left", "right", "sharp"), pictures):
    dualpix.write_picture(f"set/{name}.png", torch.from_numpy(picture).permute(2, 0, 1) / 255)
open("set/pairs.txt", "w").write("left.png right.png sharp.png\\n")
for name, picture in zip("LR", pictures):
    open(f"a_{name}.example", "wb").write(b"EXAMPLE" + struct.pack("<II", 48, 40) + picture.tobytes())
rows = np.empty((80, 48, 3), np.uint8)
rows[0::2], rows[1::2] = pictures[:2]
np.save(open("both.rows", "wb"), rows)

assert "example-net" in run("methods")
tiny = dict(network="example-net", arguments={}, steps=2, batch=1, crop=32, scene=32, validate_every=2)
for loss in ("example-loss", "example-objective"):
    recipe = replace(dualpix.RECIPES["tiny"], loss=loss, precision="fp32", **tiny)
    dualpix.train(recipe, f"run-{loss}", data="set")
weights = "run-example-loss/best.safetensors"
with_engine = ("-w", weights, "--engine", "example-engine", "--force")
print(run("deblur", "a_L.example", "a_R.example", "-o", "one.png", *with_engine))
print(run("deblur", "both.rows", "-o", "two.png", "-w", weights, "--force"))
one, two = (dualpix.read_picture(name).pixels for name in ("one.png", "two.png"))
assert (one - two).abs().max() < 1.5 / 255, (one - two).abs().max()
print(run("evaluate", "set", "-m", weights, "--extra", "example-metric"))
"""


FAILING = b"""
from dualpix.pairs.sources.record import Source

class Failing:
    looks = "a folder that fails"

    @staticmethod
    def splits(root):
        raise OSError("its server is away")

def fail(path, start):
    raise OSError("its server is away")

SOURCE, TAKEN = Source("failing", fail, fail), Source("npz", fail, fail)
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install_example(tmp_path_factory.mktemp("plugins"))


def test_the_example_adds_one_of_each_and_works_through_every_entry(place: Path) -> None:
    (place / "set").mkdir()
    done = python(place, USE)
    assert done.returncode == 0, done.stderr
    assert "example-metric" in done.stdout, done.stderr


def test_a_broken_plugin_is_named_and_everything_else_works(place: Path) -> None:
    broken = {
        "dualpix.networks": {"mccnet": "z_broken:thing", "example-net": "z_broken:thing", "gone": "z_missing:thing"},
        "dualpix.losses": {"text": "z_broken:text"},
        "dualpix.engines": {"old": "z_broken:Old"},
        "dualpix.formats": {"OLD": "z_broken:Old", "ends": "z_exits:thing"},
        "dualpix.datasets": {"failing": "z_asked:Failing"},
        "dualpix.sources": {"failing": "z_asked:SOURCE", "other": "z_asked:TAKEN"},
    }
    files = {
        "z_broken.py": b"thing = print\ntext = 'abc'\nclass Old:\n    precisions, cpu_only = ('fp32',), True\n",
        "z_exits.py": b"raise SystemExit(3)\n",
        "z_asked.py": FAILING,
    }
    install(place, "z-broken", files, broken)
    code = """
import warnings
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    import dualpix
    from dualpix.inference.engines import ENGINES
    from dualpix.io.formats import FORMATS
    names = [*dualpix.NETWORKS, *dualpix.LOSSES, *ENGINES, *FORMATS]
for one in told:
    print(one.category.__name__, one.message)
print(sorted({"example-net", "gone", "text", "old", "OLD", "ends"} & set(names)))
assert dualpix.NETWORKS["mccnet"].__module__ == "dualpix.networks.mccnet.model"
import numpy as np
warnings.simplefilter("always")
try:
    dualpix.open_dataset("empty")
except dualpix.DataError as error:
    print(error)
dualpix.write_picture("alone.png", np.zeros((40, 48, 3), np.uint8))
try:
    dualpix.open_views("alone.png")
except dualpix.PairError as error:
    print(error)
"""
    (place / "empty").mkdir()
    done = python(place, code)
    assert done.returncode == 0, done.stderr
    expected = [
        "'OLD' of z-broken cannot be used among the formats: it is no Format of dualpix.io.formats.record.",
        "'ends' of z-broken cannot be used among the formats: SystemExit: 3.",
        "'example-net' of z-broken cannot be used among the networks: another package brought an entry of that name"
        " before.",
        "'gone' of z-broken cannot be used among the networks: ModuleNotFoundError: No module named 'z_missing'.",
        "'mccnet' of z-broken cannot be used among the networks: dualpix itself has an entry of that name.",
        "'old' of z-broken cannot be used among the engines: it has no dry_run, which this version of dualpix needs.",
        "'other' of z-broken cannot be used among the sources: its name 'npz' is taken.",
        "'text' of z-broken cannot be used among the losses: it is nothing that can be called.",
        "['example-net']",
    ]
    *lines, empty, alone = done.stdout.splitlines()
    assert "empty is not in a known layout" in empty and "alone.png is one picture" in alone
    for group in ("datasets", "sources"):
        told = f"'failing' among the {group} cannot be asked: OSError: its server is away; it is left out."
        assert told in done.stderr
    assert sorted(line.removeprefix("PluginWarning ") for line in lines[:-1]) == expected[:-1]
    assert lines[-1] == expected[-1]

    noted = python(place, "import sys\nsys.argv = ['dualpix', 'methods']\nfrom dualpix.cli import main\nmain()")
    assert noted.returncode == 0
    assert "Note: 'gone' of z-broken cannot be used among the networks" in noted.stderr
    assert "PluginWarning" not in noted.stderr
