"""Maps of many pairs: what each would be alone, found anew where missing, and refused before any work."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from camera_exif import F_NUMBER, FILM_LENGTH, FOCAL_LENGTH, exif, focus_range, ratio, short
from dualpix.errors import DataError, PictureError
from dualpix.inference import batch
from dualpix.inference.batch import Maps
from dualpix.inference.focus import Refocus
from dualpix.inference.options import DeblurOptions
from dualpix.weights import checkpoint
from small_networks import TINY, small, tiny

Command = Callable[..., tuple[int, str, str]]
WEIGHTS = ("-w", "tiny.safetensors")
KINDS = ("disparity", "disparity-picture", "confidence", "depth-mask", "metres", "mask-out")
ALL = tuple(word for kind in KINDS for word in (f"--{kind}", f"maps/{kind}"))
PART = ("--keep-blur", "behind")
GIVEN = ("--focus-distance", "1", "--f-number", "4", "--focal-length", "50", "--pixel-pitch", "20", "--rho", "0.3")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder with a folder of two pairs, `pairs/a` in PNG and `pairs/trip/b` in TIFF, and tiny weights."""
    texture = np.random.default_rng(0).integers(0, 256, (24, 30, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
    (tmp_path / "pairs" / "trip").mkdir(parents=True)
    for side, first in (("L", 4), ("R", 2)):
        Image.fromarray(texture[:, first : first + 96]).save(tmp_path / "pairs" / f"a_{side}.png")
        Image.fromarray(texture[::-1, first : first + 96]).save(tmp_path / "pairs" / "trip" / f"b_{side}.tif")
    checkpoint.save(tmp_path / "tiny.safetensors", tiny(), "mccnet-fast", TINY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".jsonl")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def told(err: str) -> str:
    return " ".join(err.replace("│", " ").split())


def test_each_map_of_a_folder_is_that_of_its_pair_alone(home: Path, dualpix: Command) -> None:
    many = ("deblur", "pairs", "-o", "out", *WEIGHTS, *ALL, *PART, *GIVEN)
    code, out, _ = dualpix(*many, "--dry-run")
    assert code == 0 and "out/trip/b.tif, maps/disparity/trip/b.tif, maps/disparity-picture/trip/b.png, " in out
    assert not (home / "maps").exists() and not (home / "out").exists()
    code, out, err = dualpix(*many, "--json", "report.jsonl")
    assert code == 0 and out.startswith("out: 2 pictures made in "), err
    made = files(home / "maps")
    endings = {kind: "png" if kind in ("disparity-picture", "mask-out") else "tif" for kind in KINDS}
    assert set(made) == {f"{kind}/{name}.{ending}" for kind, ending in endings.items() for name in ("a", "trip/b")}
    rows = [json.loads(line) for line in Path("report.jsonl").read_text().splitlines()]
    assert rows[1]["maps"]["mask_out"] == "maps/mask-out/trip/b.png" and rows[1]["seconds"]["maps"] > 0
    (home / "alone").mkdir()
    alone = [word for kind in KINDS for word in (f"--{kind}", f"alone/{kind}.{endings[kind]}")]
    pair = ("pairs/trip/b_L.tif", "pairs/trip/b_R.tif", "-o", "alone/b.tif")
    code, out, err = dualpix("deblur", *pair, *WEIGHTS, *alone, *PART, *GIVEN)
    assert code == 0 and out.count("\n") == 7, err
    for kind, ending in endings.items():
        assert made[f"{kind}/trip/b.{ending}"] == (home / "alone" / f"{kind}.{ending}").read_bytes(), kind
    assert (home / "alone" / "b.tif").read_bytes() == (home / "out" / "trip" / "b.tif").read_bytes()


def test_maps_are_resumed_without_the_pictures(home: Path, dualpix: Command) -> None:
    """An earlier run without maps is gone on with; a map that is gone, or of other optics, is made again."""
    first = ("deblur", "pairs", "-o", "out", *WEIGHTS, "--resume")
    again = (*first, "--disparity", "maps", "--metres", "depth", *GIVEN)
    assert "2 pictures made" in dualpix(*first)[1]
    pictures = {path: path.stat().st_mtime_ns for path in (home / "out").rglob("*.*") if path.suffix != ".jsonl"}
    code, out, _ = dualpix(*again, "--dry-run")
    assert code == 0 and out.count("(maps only: its maps are not all there") == 2
    assert "2 pictures made" in dualpix(*again)[1] and len(files(home / "maps")) == 2
    before = files(home / "maps"), files(home / "depth")
    assert "2 were finished before" in dualpix(*again)[1]
    (home / "maps" / "a.tif").unlink()
    assert "1 pictures made, 1 were finished before" in dualpix(*again)[1]
    assert (files(home / "maps"), files(home / "depth")) == before
    assert "2 pictures made" in dualpix(*again, "--rho", "0.4")[1] and files(home / "depth") != before[1]
    assert pictures == {path: path.stat().st_mtime_ns for path in pictures}
    (home / "maps" / "a.tif").write_bytes(b"retouched")
    code, _, err = dualpix(*again, "--rho", "0.4")
    assert code == 1 and "maps/a.tif was not made by this command, or was changed since; move it away" in err
    assert (home / "maps" / "a.tif").read_bytes() == b"retouched"
    with (home / "out" / "dualpix-journal.jsonl").open("a") as journal:
        journal.write('{"state": "started", "output": "a.png"}\n')  # as a run that is killed now leaves it
    assert "1 pictures made, 1 were finished before" in dualpix(*again, "--rho", "0.4")[1]
    assert files(home / "maps") == before[0]
    (home / "out" / "dualpix-journal.jsonl").write_text('{"state": "mapped", "output": "a.png", "written_maps": 3}\n')
    assert dualpix(*again, "--overwrite")[0] == 0


def test_a_sweep_may_stand_beside_maps_that_are_found_in_the_views(home: Path) -> None:
    options, opened = DeblurOptions(refocus=Refocus(aperture=2.0)), batch.open_weights("tiny.safetensors")
    made = []
    for name, kinds in (("both", ("sweep", "disparity")), ("sweep", ("sweep",))):
        maps = Maps(**{kind: home / name / kind for kind in kinds})  # type: ignore[arg-type]
        (job, _) = batch.list_jobs("pairs", f"out-{name}", options, maps=maps)
        outcomes: list[batch.Outcome] = []
        batch.run_jobs([job], opened, options, outcomes.append)
        assert [outcome.error for outcome in outcomes] == [""] and all(
            path.exists() for path in job.maps.places.values()
        )
        made.append(job.maps.places["sweep"].read_bytes())
    assert made[0] == made[1]


def test_metres_ask_each_pair_for_its_optics(home: Path, dualpix: Command) -> None:
    known = {F_NUMBER: ratio(4, 1), FOCAL_LENGTH: ratio(50, 1), FILM_LENGTH: short(50)}
    block = exif(known, {0x93: focus_range(250, 200, 20)})
    for side in "LR":
        with Image.open(f"pairs/a_{side}.png") as view:
            view.save(f"pairs/known_{side}.jpg", quality=98, subsampling=0, exif=b"Exif\0\0" + block)
    many = ("deblur", "pairs", "-o", "out", *WEIGHTS, "--metres", "depth")
    code, out, err = dualpix(*many)
    assert code == 1 and "1 pictures made, 2 failed" in out
    assert "dualpix: a.png: For metres the focus distance, f-number, focal length and pixel pitch must be known" in err
    assert set(files(home / "out")) == {"known.jpg"} and set(files(home / "depth")) == {"known.tif"}
    assert "2 pictures made, 1 were finished before" in dualpix(*many[:-2], "--resume")[1]


def test_disparity_of_folders_lists_and_patterns_makes_maps_alone(home: Path, dualpix: Command) -> None:
    Path("list.csv").write_text("pairs/a_L.png,pairs/a_R.png,first.png\npairs/trip/b_L.tif,pairs/trip/b_R.tif,\n")
    many = (*WEIGHTS, "-o", "maps", "--picture", "seen")
    code, out, err = dualpix("disparity", "list.csv", *many)
    assert (code, err) == (0, "") and out.startswith("maps: maps of 2 pairs made in ")
    assert set(files(home / "maps")) == {"first.tif", "pairs/trip/b.tif"}
    assert set(files(home / "seen")) == {"first.png", "pairs/trip/b.png"}
    (home / "seen" / "first.png").unlink()
    assert "maps of 1 pairs made, 1 were finished before" in dualpix("disparity", "list.csv", *many, "--resume")[1]
    code, _, err = dualpix("disparity", "list.csv", *many)
    assert code == 1 and "maps holds 2 of the 2 pictures already" in err
    assert dualpix("disparity", "pairs/trip/*_L.tif", *WEIGHTS, "--confidence", "sure")[0] == 0
    assert set(files(home / "sure")) == {"b.tif"}
    assert dualpix("disparity", "pairs/a_L.png", "pairs/a_R.png", *WEIGHTS, "-o", "a.tif")[0] == 0
    assert np.array_equal(tifffile.imread("a.tif"), tifffile.imread("maps/first.tif"))


def test_what_cannot_be_is_refused_before_any_work(home: Path, dualpix: Command) -> None:
    checkpoint.save(home / "blind.safetensors", small("dpdnet"), "dpdnet", {"widths": (8, 16, 32, 64, 128)})
    (home / "masks").mkdir()
    Path("file.tif").write_bytes(b"")
    many = ("deblur", "pairs", "-o", "out", *WEIGHTS)
    before = sorted(home.rglob("*"))
    for words, said in (
        (("--disparity", "out"), "out is a folder for something else already"),
        (("--disparity", "pairs"), "pairs is a folder for something else already"),
        (("--disparity", "maps", "--confidence", "maps/"), "the maps of each kind a folder of their own"),
        (("--mask-out", "masks", "--mask", "masks"), "masks is a folder for something else already"),
        (("--mask-out", "maps"), "give --keep-blur or --mask too"),
        (("--depth-mask", "file.tif"), "file.tif is a file, or named like one; for many pairs, give a folder"),
        (("--depth-mask", "new.tif"), "new.tif is a file, or named like one"),
        (("--scale", "1/2", "-w", "blind.safetensors"), "it cannot follow the scale 1/2"),
        (("--dry-run", "--json", "r.jsonl"), "makes nothing to report on"),
        (("--allow-outside",), "is for manifests"),
        (("--metres", "maps", "--f-number", "0"), "The f-number cannot be 0"),
        (("--metres", "maps", "--pixel-pitch", "4", "--sensor-width", "36"), "not both"),
        (("--metres", "maps", "--rho", "none.csv"), "none.csv cannot be read"),
        (("--disparity", "maps", "-w", "blind.safetensors"), "no cross-correlation"),
        (("--disparity", "maps", "-w", "blind.safetensors", "--dry-run"), "no cross-correlation"),
    ):
        code, _, err = dualpix(*many, *words)
        assert code in (1, 2) and said in told(err), err
        assert sorted(home.rglob("*")) == before
    with pytest.raises(PictureError, match="nothing to make"):
        batch.list_jobs("pairs", "", sharp=False)
    for kind, options in (("mask_out", DeblurOptions(keep_blur="behind")), ("sweep", DeblurOptions(refocus=Refocus()))):
        asked = Maps(**{kind: home / "maps", "disparity": home / "other"})  # type: ignore[arg-type]
        with pytest.raises(PictureError, match=f"{kind}= comes only of making the picture"):
            batch.list_jobs("pairs", "", options, maps=asked, sharp=False)
        with pytest.raises(PictureError, match=r"leave mask_out= out|give a `Refocus`"):
            batch.list_jobs("pairs", "out", maps=asked)
    with pytest.raises(DataError, match="f_number="):
        batch.list_jobs("pairs", "out", maps=Maps(metres=home / "m", optics={"f_number": -1}))


def test_pictures_whose_maps_would_have_one_name(home: Path) -> None:
    Path("list.csv").write_text("pairs/a_L.png,pairs/a_R.png,x.png\npairs/trip/b_L.tif,pairs/trip/b_R.tif,X.tif\n")
    first, second = batch.list_jobs("list.csv", "out", DeblurOptions(), maps=Maps(confidence=home / "maps"))
    assert not first.problem and "X.tif would also be made from pairs/a_L.png" in second.problem
    assert all(not job.problem for job in batch.list_jobs("list.csv", "out"))
