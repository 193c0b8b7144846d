"""Many pairs, in this process: each picture is what it would be alone, and a second run does only what is left."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dualpix.errors import MachineError, PictureError
from dualpix.inference import batch
from dualpix.inference.batch import Outcome, Shard, Step
from dualpix.inference.batch.journal import Journal
from dualpix.inference.batch.running import Report
from dualpix.inference.deblur import deblur
from dualpix.inference.options import DeblurOptions
from losing import SAID, Failed

Pairs = Callable[..., None]


def run(source: str = "pairs", weights: str = "w.safetensors", **more: object) -> dict[str, Outcome]:
    """Outcomes by place, in order."""
    known = {name: more.pop(name) for name in ("resume", "overwrite") if name in more}
    part = more.pop("shard", None)
    suffix = more.pop("format", None)
    options = DeblurOptions(**more)  # type: ignore[arg-type]
    jobs = batch.list_jobs(source, "out", options, format=suffix, shard=part)  # type: ignore[arg-type]
    outcomes: list[Outcome] = []
    opened = batch.open_weights(weights)
    batch.run_jobs(jobs, opened, options, outcomes.append, shard=part, **known)  # type: ignore[arg-type]
    return {outcome.job.place: outcome for outcome in outcomes}


def states(outcomes: dict[str, Outcome]) -> list[str]:
    """By name; those that need no work come first."""
    return [outcomes[place].state for place in sorted(outcomes)]


def pictures(folder: Path) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".jsonl")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_each_picture_is_what_it_would_be_alone(home: Path, make_pairs: Pairs) -> None:
    names = ["a", "x y/ü", "deep/er/b"]
    make_pairs(home / "pairs", *names)
    make_pairs(home / "pairs", "upper", left="{}_L.TIF", right="{}_R.TIF")
    outcomes = run()
    assert list(outcomes) == ["a.png", "deep/er/b.png", "upper.TIF", "x y/ü.png"]
    assert states(outcomes) == ["made"] * 4
    assert set(pictures(home / "out")) == set(outcomes)
    for name in names:
        alone = deblur(*(home / "pairs" / f"{name}_{side}.png" for side in "LR"), "w.safetensors")
        with Image.open(home / "out" / f"{name}.png") as made:
            assert np.abs(np.asarray(made) - 255.0 * alone.permute(1, 2, 0).numpy()).max() < 0.51
    report = outcomes["a.png"].as_json()
    assert json.loads(json.dumps(report)) == report
    assert (
        0 <= report["changed"] <= 1
        and report["mixed_in"] is not None
        and (report["skipped"], report["computed"]) == (0, 1)
        and report["disparity_px"] is None
    )
    assert report["weights_sha256"] == hashlib.sha256((home / "w.safetensors").read_bytes()).hexdigest()
    assert (report["width"], report["height"], report["depth"], report["bands"]) == (48, 48, 8, 1)
    assert report["seconds"].keys() == {"read", "deblur", "write"} and report["error"] is None


def test_what_fails_is_told_and_the_others_go_on(home: Path, make_pairs: Pairs) -> None:
    make_pairs(home / "pairs", "a", "b", "c", "d", "e")
    cut = home / "pairs" / "c_R.png"
    cut.write_bytes(cut.read_bytes()[:-30])
    (home / "pairs" / "b_R.png").unlink()
    (home / "out" / "e.png").mkdir(parents=True)
    with pytest.raises(PictureError, match=r"1 of the 5 pictures already, such as e\.png"):
        run()
    outcomes = run(resume=True)
    assert {place: outcome.state for place, outcome in outcomes.items()} == {
        "a.png": "made", "b.png": "failed", "c.png": "failed", "d.png": "made", "e.png": "failed"
    }  # fmt: skip
    assert "c_R.png" in outcomes["c.png"].error and "b_L.png; add it" in outcomes["b.png"].error
    assert set(pictures(home / "out")) == {"a.png", "d.png"}
    make_pairs(home / "pairs", "b", "c")
    (home / "out" / "e.png").rmdir()
    assert states(run(resume=True)) == ["kept", "made", "made", "kept", "made"]


def test_pictures_of_another_source_are_not_taken_for_finished(home: Path) -> None:
    """Its files have the same names, sizes and times."""
    for number, folder in enumerate(("pairs", "others")):
        (home / folder).mkdir()
        for side in "LR":
            shift = 40 * number + (side == "R")
            levels = np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)
            path = home / folder / f"a_{side}.pgm"
            path.write_bytes(b"P5\n48 48\n255\n" + np.roll(levels, shift, axis=1).tobytes())
            os.utime(path, (10**9, 10**9))
    run()
    assert states(run(resume=True)) == ["kept"]
    assert states(run("others", resume=True)) == ["made"]


def test_a_second_run_does_what_has_changed(home: Path, make_pairs: Pairs) -> None:
    make_pairs(home / "pairs", "a", "b", "c")
    run()
    before = pictures(home / "out")
    stamps = {path: path.stat().st_mtime_ns for path in (home / "out").glob("*.png")}
    assert states(run(resume=True)) == ["kept"] * 3
    assert stamps == {path: path.stat().st_mtime_ns for path in stamps}
    make_pairs(home / "pairs", "other")
    for side in "LR":
        os.replace(home / "pairs" / f"other_{side}.png", home / "pairs" / f"b_{side}.png")
    assert states(run(resume=True)) == ["kept", "made", "kept"]
    after = pictures(home / "out")
    assert [name for name in after if after[name] != before[name]] == ["b.png"]
    assert states(run(resume=True, weights="other.safetensors")) == ["made"] * 3
    assert states(run(resume=True, weights="other.safetensors", mirror=True)) == ["made"] * 3
    assert states(run(resume=True, weights="other.safetensors", mirror=True, memory="2GB")) == ["kept"] * 3


def test_files_of_others_are_left_alone(home: Path, make_pairs: Pairs) -> None:
    """Also those that were a run's own until somebody changed them."""
    make_pairs(home / "pairs", "a", "b", "c")
    run(overwrite=True)
    (home / "out" / "a.png").write_bytes(b"retouched")
    for again in ({}, {"overwrite": False}):
        with pytest.raises(PictureError, match="resume=True"):
            run(**again)
    outcomes = run(resume=True)
    assert states(outcomes) == ["failed", "kept", "kept"] and "changed since" in outcomes["a.png"].error
    assert (home / "out" / "a.png").read_bytes() == b"retouched"
    assert states(run(resume=True, overwrite=True)) == ["made", "kept", "kept"]
    assert states(run(overwrite=True)) == ["made"] * 3


def test_shards_share_the_work(home: Path, make_pairs: Pairs) -> None:
    make_pairs(home / "pairs", "a", "b", "c", "d")
    parts = [run(shard=Shard(number, 3)) for number in (1, 2, 3)]
    assert [list(part) for part in parts] == [["a.png", "d.png"], ["b.png"], ["c.png"]]
    assert states(run(resume=True)) == ["kept"] * 4
    assert run(shard=Shard(5, 5)) == {}


def test_a_manifest_is_followed(home: Path, make_pairs: Pairs) -> None:
    make_pairs(home / "pairs", "a", "b")
    lines = [
        {"left": "pairs/a_L.png", "right": "pairs/a_R.png", "output": "x/first.tif"},
        {"left": "pairs/b_L.png", "right": "pairs/b_R.png"},
        {"left": "pairs/b_L.png", "right": "pairs/b_R.png", "output": "X/FIRST.tif"},
        {"left": "pairs/none.png", "right": "pairs/b_R.png", "output": "none"},
    ]
    (home / "list.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    outcomes = run("list.jsonl")
    assert states(outcomes) == ["failed", "failed", "made", "made"]
    assert "would also be made from pairs/a_L.png" in outcomes["X/FIRST.tif"].error.replace(f"{home}/", "")
    assert "none.png does not exist" in outcomes["none.png"].error
    assert set(pictures(home / "out")) == {"x/first.tif", "pairs/b.png"}


@pytest.mark.parametrize("source", ["pairs", "list.jsonl"])
def test_names_that_collide_are_told_before_any_work(home: Path, make_pairs: Pairs, source: str) -> None:
    make_pairs(home / "pairs", "a", "b")
    make_pairs(home / "pairs", "B", left="{}_L.tif", right="{}_R.tif")
    lines = [{"left": f"pairs/{name[0]}_L.{name[2:]}", "right": f"pairs/{name[0]}_R.{name[2:]}", "output": name[0]}
             for name in ("a.png", "b.png", "B.tif")]  # fmt: skip
    (home / "list.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    jobs, told, worked = batch.list_jobs(source, "out", format="png"), [], []

    def work(steps: Sequence[Step], journal: Journal, report: Report) -> None:
        assert [outcome.state for outcome in told] == ["failed"] and told[0].job.place.casefold() == "b.png"
        assert re.search(r"[bB]\.png would also be made from \S*pairs/[bB]_L\..*; rename one of the two", told[0].error)
        worked.extend(step.job.place.casefold() for step in steps)

    batch.run_jobs(jobs, batch.open_weights("w.safetensors"), DeblurOptions(), told.append, work=work)
    assert sorted(worked) == ["a.png", "b.png"]


def test_a_device_that_fails_ends_the_run_and_blames_no_pair(home: Path, make_pairs: Pairs) -> None:
    make_pairs(home / "pairs", "a", "b")
    opened, outcomes = batch.open_weights("w.safetensors"), []
    ended = rf"The device failed \({SAID.splitlines()[0]}\); .* if it fails again. What was made stays, and resume=True"
    with Failed(), pytest.raises(MachineError, match=ended):
        batch.run_jobs(batch.list_jobs("pairs", "out"), opened, DeblurOptions(), outcomes.append)
    assert not outcomes and not pictures(home / "out")
    assert states(run("pairs", resume=True)) == ["made", "made"]


def test_an_output_that_is_an_input_is_refused(home: Path, make_pairs: Pairs) -> None:
    make_pairs(home / "out", "a", "b")
    lines = [{"left": "out/a_L.png", "right": "out/a_R.png", "output": "b_L.png"}]
    lines += [{"left": "out/b_L.png", "right": "out/b_R.png", "output": "made.png"}]
    (home / "list.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    before = (home / "out" / "b_L.png").read_bytes()
    outcomes = run("list.jsonl", overwrite=True)
    assert outcomes["b_L.png"].state == "failed" and "one of the inputs" in outcomes["b_L.png"].error
    assert (home / "out" / "b_L.png").read_bytes() == before


def test_a_budget_runs_one_after_the_other_with_the_same_result(home: Path, make_pairs: Pairs) -> None:
    make_pairs(home / "pairs", "a", "b", "c")
    run(depth=16, strip_metadata=True)
    together = pictures(home / "out")
    assert states(run(depth=16, strip_metadata=True, memory="2GB", overwrite=True)) == ["made"] * 3
    assert pictures(home / "out") == together
    with Image.open(home / "out" / "a.png") as made:
        assert not made.info


def test_one_file_with_both_views_and_another_format(home: Path, make_pairs: Pairs) -> None:
    make_pairs(home / "views", "a")
    both = np.concatenate([np.asarray(Image.open(home / "views" / f"a_{side}.png")) for side in "LR"], axis=1)
    (home / "pairs").mkdir()
    Image.fromarray(both).save(home / "pairs" / "a.png")
    assert list(run(layout="side-by-side", format="jpg")) == ["a.jpg"]
    with Image.open(home / "out" / "a.jpg") as made:
        assert made.format == "JPEG" and made.size == (48, 48)


def test_errors_of_the_listener_are_not_swallowed(home: Path, make_pairs: Pairs) -> None:
    make_pairs(home / "pairs", "a", "b", "c")
    jobs = batch.list_jobs("pairs", "out")
    seen: list[Outcome] = []

    def listen(outcome: Outcome) -> None:
        seen.append(outcome)
        if len(seen) == 1:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        batch.run_jobs(jobs, batch.open_weights("w.safetensors"), DeblurOptions(), listen)
    assert len(seen) < 3
    # What was finished all the same is known to the next run.
    assert states(run(resume=True)).count("kept") == len(pictures(home / "out")) - (3 - len(seen))
