"""What we print works: commands and Python of the README and of every page run on small files, and links lead on."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import dualpix as package
from dualpix.datasets import DATASETS
from dualpix.evaluation.metrics import METRICS
from dualpix.io import read_picture
from dualpix.networks import NETWORKS, create
from dualpix.networks.counting import count
from dualpix.training.losses import LOSSES
from dualpix.training.recipes import RECIPES, find_recipe
from dualpix.weights.checkpoint import WEIGHTS, find, save
from small_networks import TINY, tiny

HOME = Path(__file__).parents[1]
README = HOME / "README.md"
PAGES = [README, HOME / "CONTRIBUTING.md", HOME / "CHANGELOG.md", *sorted((HOME / "docs").glob("*.md"))]
NETWORKS_PAGE = HOME / "docs" / "networks.md"
COMMAND = Path(sys.executable).with_name("dualpix")
DEMO = Path(package.__file__).parent / "demo_pair"
Command = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.usefixtures("short_trainings", "undrawn")

# Every command on a page that does not run here, and why. All others do.
HOURS = "trains for hours; its recipe and fields are checked"
ON_TWO_MACHINES = "needs two machines; tests/training/test_nodes.py has processes in their place"
SETS_UP = "sets up an environment, or is this test run"
IN_A_BUCKET = "needs a bucket; tests/inference/batch/test_running_elsewhere.py has one"
ON_A_CLUSTER = "tests/inference/batch/test_on_ray.py runs on a cluster of its own"
NOT_RUN = {
    "make demo": SETS_UP,
    "make test": SETS_UP,
    "pip install -e '.[raw]'": "needs a package index; the extra is checked",
    "pip install -e '.[web]'": "needs a package index; the extra is checked",
    "pip install -e '.[openvino]'": "needs a package index; the extra is checked",
    "pip install -e '.[cloud]'": "needs a package index; the extra is checked",
    "pip install -e '.[ray]'": "needs a package index; the extra is checked",
    "dualpix deblur pairs -o sharp --ray": ON_A_CLUSTER,
    "dualpix deblur pairs -o sharp --ray auto --resume": ON_A_CLUSTER,
    "dualpix deblur pairs -o sharp --ray 10.0.0.1:6379 --resume": ON_A_CLUSTER,
    "dualpix deblur s3://photos/pairs -o s3://photos/sharp --resume": IN_A_BUCKET,
    "dualpix deblur s3://photos/list.jsonl -o sharp --report s3://photos/report": IN_A_BUCKET,
    "dualpix deblur left.png right.png -o s3://photos/sharp.png": IN_A_BUCKET,
    "dualpix export --to onnx -o net.onnx": "takes a minute; tests/inference/test_export.py exports a small network",
    "dualpix export --to torch -o net.pt2": "the same",
    "dualpix export --to web -o page.onnx": "the same",
    "make site": "needs Node and a package index; `make site-test` tries what it builds",
    "python3 -m http.server 8000 --directory site/_build": "serves until it is stopped; site/tests does that",
    "dualpix web --open": "serves until it is stopped; tests/web does that",
    "python examples/draw_simulator.py docs/images": "tests/test_docs_site.py draws into another folder",
    "python benchmarks/table1_counts.py --write docs/table1.md": "tests/networks/test_counting_page.py compares",
    "dualpix evaluate DATA --methods all": "a dozen large networks; tests/evaluating/test_systems.py has small ones",
    "dualpix evaluate DATA --methods JNB,EBDB,MCCNet --method MCCNet=run/best.safetensors --peak-memory": "the same",
    "dualpix sweep cpu learning_rate=2e-4,4e-4 seed=0,1 --minutes 10 --photos photos -o sweep": "takes 40 minutes",
    "dualpix train mccnet learning_rate=3e-4 --photos photos -o run": HOURS,
    "dualpix train cpu start=mccnet-fast learning_rate=2e-4 --photos photos -o run": HOURS,
    "dualpix train cpu start=mccnet-fast learning_rate=2e-4 'far_px=[2,12]' --photos photos -o run": HOURS,
    "dualpix train cpu start=mccnet-fast learning_rate=2e-4 --data mine -o run-mine": HOURS,
    "dualpix train cpu start=mccnet-fast learning_rate=2e-4 simulated=0.5 --data real --photos photos -o mixed": HOURS,
    "dualpix train dpdnet --data DPDD -o run": HOURS,
    "dualpix train dpdnet+ --data DPDD --photos photos -o run": HOURS,
    "dualpix train mdp loss=multi-task-views learning_rate=3e-4 --photos photos -o first": HOURS,
    "dualpix train mdp start=first/last.safetensors --photos photos -o run": HOURS,
    "dualpix train cpu --track tensorboard --photos photos -o run": HOURS,
    "tensorboard --logdir run/tensorboard": "serves until it is stopped",
    "dualpix train cpu --minutes 30 --photos photos -o run": HOURS,
    "dualpix train gpu --photos photos.pack --minutes 8 -o run": HOURS,
    "dualpix train mccnet teacher=mccnet-fast distillation=0.5 --photos photos -o run": HOURS,
    'dualpix train cpu \'light={"one_sided": 0.3}\' \'layout={"rough": 0.2, "landscapes": 0.5}\' --photos photos'
    " --depths depths -o run": HOURS,
    "dualpix train cpu --processes 2 --photos photos -o run": HOURS,
    "dualpix train cpu --nodes 2 --rendezvous 10.0.0.1:29400 --photos photos -o run": ON_TWO_MACHINES,
    "dualpix train cpu --nodes 1:4 --rendezvous 10.0.0.1:29400 --photos photos -o run": ON_TWO_MACHINES,
    "torchrun --nnodes 1:2 --nproc-per-node 1 --max-restarts 10 --rdzv-backend c10d --rdzv-id run --rdzv-endpoint"
    " 10.0.0.1:29400 -m dualpix train cpu --photos photos -o run": ON_TWO_MACHINES,
    "make learn": "trains until it is stopped; tests/test_learn.py does that",
    "make learn-status": "the same",
    "make learn-stop": "the same",
}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def commands_in(text: str) -> Iterator[list[str]]:
    for line in text.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield words


def commands(page: Path) -> Iterator[list[str]]:
    return commands_in("".join(blocks(page, "sh")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder: two views and some photographs, with the names that the README uses."""
    root = tmp_path_factory.mktemp("readme")
    texture = np.random.default_rng(0).integers(0, 256, (40, 52, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    # Content further right in the right view: all of it behind the focal plane.
    Image.fromarray(texture[:96, 2:130]).save(root / "left.png")
    Image.fromarray(texture[:96, :128]).save(root / "right.png")
    (root / "photos").mkdir()
    for number in range(2):
        Image.fromarray(texture[:, ::-1] if number else texture).save(root / "photos" / f"{number}.png")
    return root


def test_the_commands_of_the_readme_run(folder: Path, dualpix: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first in a process of its own, as a user's; the others in this one, which has imported PyTorch already."""
    monkeypatch.chdir(folder)
    targets = set(re.findall(r"^(\w+):", (HOME / "Makefile").read_text(), re.MULTILINE))
    ran = []
    for words in commands(README):
        if words[0] == "make":
            assert words[1] in targets
            continue
        assert words[0] == "dualpix", f"the README may promise only make and dualpix, not {words[0]}"
        if not ran:
            done = subprocess.run([COMMAND, *words[1:]], capture_output=True, text=True, timeout=300)
            code, out, err = done.returncode, done.stdout, done.stderr
        else:
            code, out, err = dualpix(*words[1:])
        assert code == 0, f"{shlex.join(words)}\n{out}\n{err}"
        ran.append(words[1])
    assert {"deblur", "simulate", "train", "evaluate", "methods"} <= set(ran)
    assert (folder / "sharp.png").is_file()


def test_the_python_of_the_readme_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert blocks(README, "python")
    for block in blocks(README, "python"):
        exec(compile(block, "README.md", "exec"), {})
    assert (folder / "sharp-from-python.png").is_file()


@pytest.fixture(scope="module")
def pantry(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages take for granted: the README's two views and photographs, and the same in other forms."""
    root = tmp_path_factory.mktemp("pantry")
    shutil.copytree(folder / "photos", root / "photos")
    pixels = {side: np.asarray(Image.open(folder / f"{side}.png")) for side in ("left", "right")}
    for side, view in pixels.items():
        shutil.copy(folder / f"{side}.png", root)
        Image.fromarray(view).save(root / f"{side}.jpg", quality=95)
        for place in (f"views/{side}", f"test_{side[0]}/source"):
            write_part(root / place / "a.png", DEMO / f"{side}.png")
        for name in ("trip/a", "b"):
            copy(folder / f"{side}.png", root / "marked" / f"{name}_{side[0].upper()}.png")
    for place in ("views/sharp", "test_c/target"):
        write_part(root / place / "a.png", DEMO / "sharp.png")
    Image.fromarray(np.concatenate(list(pixels.values()), axis=1)).save(root / "both.png")
    Image.fromarray(np.concatenate(list(pixels.values()), axis=0)).save(root / "both.jpg", quality=95)
    package.simulate([root / "photos"], root / "pairs", count=2, size=64)
    shutil.copytree(root / "pairs" / "center", root / "their_pictures")
    write_part(root / "room.png", DEMO / "sharp.png", side=96)
    np.save(root / "room.npy", np.linspace(1, 3, 96 * 96, dtype=np.float32).reshape(96, 96))
    copy(find("mccnet-fast"), root / "run" / "best.safetensors")
    return root


def copy_runs(pantry: Path, root: Path) -> None:
    """Three runs of a few steps, as the page on training has them."""
    kept = pantry.parent / "runs"
    short = {"arguments": TINY, "steps": 2, "batch": 1, "crop": 32, "scene": 64, "pool": 2, "precision": "fp32"}
    for name in () if kept.exists() else ("run", "first", "second"):
        package.train(replace(find_recipe("tiny", {}), **short), kept / name, photos=[pantry / "photos"])
    for name in ("run", "first", "second"):
        shutil.copytree(kept / name, root / name, dirs_exist_ok=True)


def copy(file: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, path)


def write_part(path: Path, file: Path, side: int = 192) -> None:
    """The same part of any picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = read_picture(file).pixels[:, 100 : 100 + side, 120 : 120 + side]
    Image.fromarray((part * 255).round().byte().permute(1, 2, 0).contiguous().numpy()).save(path)


def furnish(root: Path, pantry: Path, page: Path, raw: Callable[..., bytes]) -> None:
    """A folder as a reader of `page` has it."""
    shutil.copytree(pantry, root)
    left, right = (np.asarray(Image.open(root / f"{side}.png"))[..., 1].astype(np.uint16) for side in ("left", "right"))
    # A made DNG under the name of a CR3: no camera's own file can be had.
    (root / "photo.CR3").write_bytes(raw([(left + right) * 20, left * 20]))
    if page.name in ("pictures.md", "workflow.md"):
        for side in ("left", "right"):
            tifffile.imwrite(root / f"{side}.tif", np.asarray(Image.open(root / f"{side}.png")).astype(np.uint16) * 257)
    if page.name in ("train.md", "python.md"):
        copy(DEMO / "sharp.png", root / "photos" / "sharp.png")  # the others are no photographs worth packing
    if page.name == "train.md":
        copy_runs(pantry, root)
    if page.name == "calibrate.md":
        for name in ("left", "right", "sharp"):
            copy(root / "views" / name / "a.png", root / f"{name}.png")
    if page.name in ("folders.md", "index.md"):
        shutil.rmtree(root / "pairs")
        (root / "marked").rename(root / "pairs")
        for name, side in (("0815", "L"), ("0815b", "R")):
            view = np.asarray(Image.open(root / "pairs" / "trip" / f"a_{side}.png"))
            (root / "shots").mkdir(exist_ok=True)
            tifffile.imwrite(root / "shots" / f"{name}.tif", view)
        (root / "pairs.jsonl").write_text("".join(blocks(page, "json")))
        (root / "pairs.csv").write_text("".join(blocks(page, "text")))


def take_tiny_weights(pantry: Path, page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the shipped ones where a page converts them for engines, or deblurs the same pairs many times."""
    if page.name in ("engines.md", "folders.md"):
        path = save(pantry.parent / "tiny.safetensors", tiny(), "mccnet-fast", TINY)
        monkeypatch.setitem(WEIGHTS, "mccnet-fast", str(path))


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page != README and blocks(page, "sh")], ids=lambda p: p.stem
)
def test_the_commands_of_a_page_run(
    page: Path,
    pantry: Path,
    tmp_path: Path,
    dualpix: Command,
    raw: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each block in a folder of its own. What stands in the README too has run there."""
    seen = list(commands(README))
    take_tiny_weights(pantry, page, monkeypatch)
    for number, block in enumerate(blocks(page, "sh")):
        words_of_block = [
            words for words in commands_in(block) if words not in seen and shlex.join(words) not in NOT_RUN
        ]
        if not words_of_block:
            continue
        furnish(tmp_path / str(number), pantry, page, raw)
        monkeypatch.chdir(tmp_path / str(number))
        for words in words_of_block:
            assert words[0] == "dualpix", f"{shlex.join(words)} is no command of ours; say in NOT_RUN why it is not run"
            code, out, err = dualpix(*words[1:])
            assert code == 0, f"{shlex.join(words)}\n{out}\n{err}"


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page != README and blocks(page, "py(?:thon)?")], ids=lambda p: p.stem
)
def test_the_python_of_a_page_runs(
    page: Path, pantry: Path, tmp_path: Path, raw: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All blocks of a page, one after the other."""
    furnish(tmp_path / "home", pantry, page, raw)
    take_tiny_weights(pantry, page, monkeypatch)
    if page.name in ("python.md", "simulate.md"):
        shutil.rmtree(tmp_path / "home" / "pairs")
        shutil.rmtree(tmp_path / "home" / "run")
    monkeypatch.chdir(tmp_path / "home")
    names: dict[str, object] = {}
    for block in blocks(page, "py(?:thon)?"):
        if not block.startswith("import spandrel\n"):  # an extra; tests/inference/test_spandrel.py runs it
            exec(compile(block, page.name, "exec"), names)


def test_the_tour_of_python_shows_every_public_name() -> None:
    page = (HOME / "docs" / "python.md").read_text()
    assert [name for name in package.__all__ if f"dualpix.{name}" not in page] == []


def test_what_is_not_run_is_on_a_page_and_makes_sense() -> None:
    printed = {shlex.join(words) for page in PAGES for words in commands(page)}
    assert [command for command in NOT_RUN if command not in printed] == []
    extras = tomllib.loads((HOME / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for words in map(shlex.split, NOT_RUN):
        if words[:2] == ["dualpix", "train"] and not words[2].startswith("-"):
            fields = dict(word.split("=", 1) for word in words[3:] if "=" in word)
            assert find_recipe(words[2], fields)
        elif words[0] == "python":
            assert (HOME / words[1]).is_file()
        elif words[0] == "pip":
            assert re.search(r"\[(\w+)\]", words[3])[1] in extras


HELPS: dict[str, str] = {}


@pytest.fixture
def help_of(dualpix: Command, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    monkeypatch.setenv("COLUMNS", "250")

    def ask(subcommand: str) -> str:
        if subcommand not in HELPS:
            code, HELPS[subcommand], err = dualpix(subcommand, "--help")
            assert code == 0, f"there is no `dualpix {subcommand}`: {err}"
        return HELPS[subcommand]

    return ask


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_and_option_on_a_page_exists(page: Path, help_of: Callable[[str], str]) -> None:
    for words in (words for words in commands(page) if words[0] == "dualpix"):
        assert help_of(words[1])
        for option in (word.partition("=")[0] for word in words[2:] if re.match(r"--?[a-z]", word)):
            assert re.search(rf"(?<![\w-]){option}(?![\w-])", help_of(words[1])), f"{shlex.join(words)}: no {option}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_on_a_page_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target.partition("#")[0]).exists(), f"{page.name} links to {target}"


def test_the_table_of_networks_is_true() -> None:
    """Sizes and costs on the page are those counted, and no network is missing."""
    rows = re.findall(
        r"^\| `([\w-]+)` \| ([\w, ]+) \| ([\d,]+) \| ([\d.]+) \| ([\d.]+) \|", NETWORKS_PAGE.read_text(), re.M
    )
    counted = []
    for name in NETWORKS:
        with torch.device("meta"):
            network = create(name)
        counts = count(network, 1120, 1680)
        giga = (f"{macs / 1e9:.2f}" for macs in (counts.conv_macs, counts.attention_macs))
        counted.append((name, ", ".join(network.spec.views), f"{counts.parameters:,}", *giga))
    assert rows == counted


@pytest.mark.parametrize("table", [LOSSES, METRICS, DATASETS, RECIPES, WEIGHTS], ids=lambda table: next(iter(table)))
def test_every_entry_of_a_table_is_on_a_page(table: dict[str, object]) -> None:
    pages = "".join(page.read_text() for page in PAGES)
    assert [name for name in table if f"`{name}`" not in pages] == []
