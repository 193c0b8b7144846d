"""`dualpix.Deblur`: batches of rows in any process give what a run in one process gives, whoever was lost before."""

import json
import multiprocessing
import os
import pickle
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dualpix import CheckpointError, Deblur, PictureError
from dualpix.inference import batch
from dualpix.inference.batch.journal import Journal
from dualpix.inference.maps import Maps
from dualpix.machine import storage
from dualpix.machine.urls import Url
from losing import SAID, Failed

Command = Callable[..., tuple[int, str, str]]
Pairs = Callable[..., None]
NAMES = ("a", "b", "x/c", "x/d")
WORDS = ("deblur", "pairs", "-o", "out", "-w", "w.safetensors")


def columns(*names: str) -> dict[str, list[Any]]:
    return {
        "id": list(names),
        "left": [f"pairs/{name}_L.png" for name in names],
        "right": [f"pairs/{name}_R.png" for name in names],
        "output": [f"{name}.png" for name in names],
    }


def pictures(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.png"))}


def journals(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("dualpix-journal*"))


def write_lost(folder: Path, name: str, *lines: dict[str, Any]) -> None:
    """The journal of a process that was killed."""
    folder.mkdir(exist_ok=True)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / f"dualpix-journal-worker-{name}.jsonl").write_text(text)


@pytest.fixture
def worker(home: Path, make_pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> Deblur:
    monkeypatch.setattr("dualpix.inference.batch.journal.ENDING_S", 0.2)
    make_pairs(home / "pairs", *NAMES)
    return pickle.loads(pickle.dumps(Deblur("w.safetensors", folder="out", threads=1)))  # type: ignore[no-any-return]


def test_rows_become_what_a_folder_becomes(worker: Deblur, home: Path, dualpix: Command) -> None:
    (home / "pairs" / "b_R.png").write_bytes(b"")
    asked = columns(*NAMES, "../e")
    found = worker(asked)
    assert found["id"] == asked["id"]
    assert found["state"] == ["made", "failed", "made", "made", "failed"]
    assert found["output"][2] == "out/x/c.png" and "b_R.png" in found["error"][1] and "inside out" in found["error"][4]
    assert all(seconds > 0 for seconds in found["seconds"][2:4]) and len(found["weights_sha256"][0]) == 64
    assert dualpix("deblur", "pairs", "-o", "whole", "-w", "w.safetensors", "--json", "whole.jsonl")[0] == 1
    assert pictures(home / "out") == pictures(home / "whole")
    lines = {line["output"]: line for line in map(json.loads, (home / "whole.jsonl").read_text().splitlines())}
    for line in (json.loads(text) for text in found["report"][:4]):
        assert line.keys() == lines[line["output"].replace("out", "whole")].keys()
    assert worker(columns(*NAMES))["state"] == ["kept", "failed", "kept", "kept"]


def test_any_process_takes_part_and_a_folder_run_goes_on(worker: Deblur, home: Path, dualpix: Command) -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        (there,) = pool.map(worker, [columns("a", "b")])
        assert there["state"] == ["made", "made"] and len(journals(home / "out")) == 2
        code, _, err = dualpix(*WORDS, "--overwrite")
        assert code == 1 and "Another run is at work in out" in err
    code, out, err = dualpix(*WORDS, "--resume")
    assert (code, err) == (0, "") and "2 pictures made, 2 were finished before" in out
    assert journals(home / "out") == ["dualpix-journal.jsonl"]
    assert dualpix(*WORDS, "--resume")[1].startswith("out: 0 pictures made, 4 were finished before")


def test_a_row_that_a_lost_process_finished_is_told_as_it_would_have(worker: Deblur) -> None:
    first = worker(columns("a"))
    again = worker({**columns("a"), "action": ["make"]})
    assert again == first and again["state"] == ["made"]
    assert worker({**columns("a"), "action": ["redo"]})["state"] == ["made"]


def test_a_pair_that_processes_die_of_is_given_up(worker: Deblur, home: Path) -> None:
    for number in range(3):
        own = [{"state": "tried", "output": "b.png"}] if number else [{"state": "started", "output": "b.png"}]
        write_lost(home / "out", f"lost{number}", {"state": "tried", "output": "a.png"}, *own, {"state": "what"})
    write_lost(home / "out", "lost3", {"state": "tried", "output": "x/c.png"})
    write_lost(home / "out", "lost0", {"state": "tried", "output": "b.png"})
    found = worker(columns(*NAMES))
    assert found["state"] == ["made", "failed", "made", "made"]
    assert found["error"][1].startswith("3 processes died of this pair")


def test_every_row_hears_of_a_device_that_failed(worker: Deblur) -> None:
    assert worker(columns("x/c"))["state"] == ["made"]  # with the weights loaded
    with Failed():
        made = worker(columns("a", "b"))
    assert list(made["state"]) == ["failed"] * 2
    assert all(error.startswith(f"The device failed ({SAID.splitlines()[0]})") for error in made["error"])


def test_gathering_keeps_what_is_not_finished_and_settles_what_another_finished(worker: Deblur, home: Path) -> None:
    out = home / "out"
    worker(columns("a", "b"))
    write_lost(out, "lost", *({"state": "started", "output": f"{name}.png"} for name in ("a", "x/c")))
    (out / "b.png").write_bytes(b"retouched")
    with pytest.raises(PictureError, match="Another run"):
        Journal(out, (1, 1), ())  # while this process's journal is open
    child = os.fork()  # the lock is shared with this process, and its journal must not be
    if not child:
        state = worker(columns("x/d"))["state"]
        os._exit(0 if state == ["made"] else 1)
    assert os.waitpid(child, 0)[1] == 0
    for token in range(4):  # a process keeps only some workers
        Deblur("w.safetensors", folder=f"other{token}")({name: [] for name in columns()})
    batch.gather_journals(out)
    assert journals(out) == ["dualpix-journal.jsonl"]
    lines = [json.loads(line) for line in (out / "dualpix-journal.jsonl").read_text().splitlines()]
    assert sorted((line["state"], line["output"]) for line in lines) == [
        ("made", "a.png"),
        ("made", "b.png"),
        ("made", "x/d.png"),
        ("started", "x/c.png"),
    ]
    found = worker(columns("a", "b"))
    assert found["state"] == ["kept", "failed"] and "changed since" in found["error"][1]


def test_a_process_that_is_killed_leaves_whole_pictures(worker: Deblur, home: Path, dualpix: Command) -> None:
    child = os.fork()
    if not child:
        worker(columns("a"))
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert worker(columns(*NAMES))["state"] == ["kept", "made", "made", "made"]
    dualpix("deblur", "pairs", "-o", "whole", "-w", "w.safetensors")
    assert pictures(home / "out") == pictures(home / "whole")


def test_what_concerns_all_pairs_is_raised(worker: Deblur, home: Path) -> None:
    with pytest.raises(CheckpointError, match="others here"):
        Deblur("w.safetensors", folder="out", sha256="0" * 64)(columns("a"))
    with pytest.raises(CheckpointError):
        Deblur("none.safetensors", folder="out")(columns("a"))
    with pytest.raises(PictureError, match="depth"):
        Deblur(folder="out", depth=7)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="did you mean 'mirror'"):
        Deblur(folder="out", miror=True)  # type: ignore[call-arg]


def test_pairs_elsewhere_are_asked_for_one_by_one(worker: Deblur, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each batch is a few pairs of what may be a million in a folder, which must not be listed again and again."""
    fsspec = pytest.importorskip("fsspec")
    names = [f"p{number}" for number in range(10)]
    for name in names:
        for side in "LR":
            storage.write_object(Url(f"memory://bucket/{name}_{side}.png"), (home / f"pairs/a_{side}.png").read_bytes())
    listed = []
    system = fsspec.filesystem("memory")
    monkeypatch.setattr(type(system), "ls", lambda *words, **more: listed.append(words))
    monkeypatch.setattr(type(system), "find", lambda *words, **more: listed.append(words))
    asked = columns(*names)
    asked |= {side: [f"memory://bucket/{name}_{side[0].upper()}.png" for name in names] for side in ("left", "right")}
    try:
        assert set(worker(asked)["state"]) == {"made"}
        assert set(worker(asked)["state"]) == {"kept"}
        assert not listed
    finally:
        system.store.clear()


def test_a_server_of_maps_that_refuses_costs_rows_and_not_the_run(
    worker: Deblur, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*words: Any, **more: Any) -> None:
        raise PermissionError("not yours")

    fsspec = pytest.importorskip("fsspec")
    monkeypatch.setattr(type(fsspec.filesystem("memory")), "info", refuse)
    maps = Maps(disparity=Url("memory://closed/maps"))
    found = Deblur("w.safetensors", folder="other", threads=1, maps=maps)(columns("a", "b"))
    assert found["state"] == ["failed", "failed"]
    assert "memory://closed/maps/a" in found["error"][0] and "does not allow it" in found["error"][0]
    assert worker(columns("a"))["state"] == ["made"]
