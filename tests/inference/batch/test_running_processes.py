"""`dualpix deblur FOLDER`: what it prints, how it ends, and what is left of it when it is killed."""

import json
import os
import pty
import random
import re
import select
import shlex
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dualpix.inference import batch
from dualpix.inference.options import DeblurOptions

Command = Callable[..., tuple[int, str, str]]
Pairs = Callable[..., None]
Start = Callable[..., Any]
WORDS = ("deblur", "pairs", "-o", "out", "-w", "w.safetensors")
NAMES = [f"{folder}{number:02}" for folder in ("", "x/", "ü y/") for number in range(4)]


def files(folder: Path) -> dict[str, bytes]:
    """Everything but the journals."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".jsonl")
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def made(folder: Path) -> int:
    journal = folder / "dualpix-journal.jsonl"
    return journal.read_bytes().count(b'"state": "made"') if journal.exists() else 0


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def wait_for(condition: Callable[[], bool], run: Any) -> None:
    while not condition():
        assert Path(f"/proc/{run.pid}/stat").read_text().split(")")[1].split()[0] != "Z", run.err.read_text()
        time.sleep(0.002)


def test_the_terminal_is_told_and_exit_codes_are_kept(dualpix: Command, home: Path, make_pairs: Pairs) -> None:
    make_pairs(home / "pairs", "a", "b", "c")
    code, out, err = dualpix(*WORDS, "--dry-run")
    assert (code, err) == (0, "") and not (home / "out").exists()
    assert out.splitlines()[0] == "pairs/a_L.png + pairs/a_R.png -> out/a.png"
    assert out.splitlines()[-1] == "out: 3 pictures to make, 0 finished, 0 that cannot be made"
    code, out, err = dualpix(*WORDS, "--json", "report.jsonl")
    assert (code, err) == (0, "") and out.startswith("out: 3 pictures made in ")
    assert [line["state"] for line in lines_of(home / "report.jsonl")] == ["made"] * 3
    code, out, err = dualpix(*WORDS)
    assert code == 1 and err.count("\n") == 1 and "--resume" in err and "--overwrite" in err
    (home / "pairs" / "b_R.png").write_bytes(b"")
    code, out, err = dualpix(*WORDS, "--resume", "--dry-run")
    assert code == 0 and "out/a.png  (finished)" in out and "out/b.png  (again: its views" in out
    code, out, err = dualpix(*WORDS, "--resume", "--json", "report.jsonl")
    assert code == 1 and err.startswith("dualpix: b.png: pairs/b_R.png") and err.count("\n") == 1
    assert out.startswith("out: 0 pictures made, 2 were finished before, 1 failed in ")
    report = {line["output"]: line for line in lines_of(home / "report.jsonl")}
    assert report["out/a.png"]["state"] == "kept" and "b_R.png" in report["out/b.png"]["error"]


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ([*WORDS, "--shard", "3/2"], 2, "--shard"),
        ([*WORDS, "--shard", "half"], 2, "--shard"),
        (["deblur", "pairs", "pairs", "-o", "out"], 1, "both views"),
        (["deblur", "pairs", "list.jsonl", "-o", "out"], 2, "RIGHT"),
        (["deblur", "pairs/a_L.png", "pairs/a_R.png", "-o", "out.png", "--resume"], 2, "LEFT"),
        (["deblur", "list.jsonl", "-o", "out", "--include", "*"], 2, "folders"),
        (["deblur", "list.jsonl", "-o", "out"], 1, "line 1"),
        (["deblur", "none.jsonl", "-o", "out"], 1, "none.jsonl"),
        (["deblur", "empty", "-o", "out"], 1, "no pairs"),
        (["deblur", "pairs", "-o", "pairs", "-w", "w.safetensors"], 1, "folder of the inputs"),
        (["deblur", "pairs", "-o", "w.safetensors"], 1, "is a file"),
        (["deblur", "pairs", "-o", "/proc/out", "-w", "w.safetensors"], 1, "/proc/out cannot be used"),
        ([*WORDS, "--device", "gpu"], 1, "'cpu'"),
        ([*WORDS, "--memory", "lots"], 1, "800MB"),
        ([*WORDS, "--format", "xyz"], 1, ".tif"),
        ([*WORDS, "--layout", "raws"], 1, "raw"),
        ([*WORDS, "--include", "z*"], 1, "--include"),
        ([*WORDS, "--json", "pairs/a_L.png", "--overwrite"], 1, "one of the pictures"),
        ([*WORDS, "--json", "list.jsonl"], 1, "exists already"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_usage_is_told_before_any_work(
    dualpix: Command, home: Path, make_pairs: Pairs, words: list[str], code: int, says: str
) -> None:
    make_pairs(home / "pairs", "a")
    (home / "list.jsonl").write_text("left right")
    (home / "empty").mkdir()
    before = files(home)
    found, out, err = dualpix(*words)
    assert found == code and says in out + err
    assert code == 2 or err.count("\n") == 1
    assert files(home) == before


def uninterrupted(home: Path, dualpix: Command) -> dict[str, bytes]:
    assert dualpix("deblur", "pairs", "-o", "whole", "-w", "w.safetensors")[0] == 0
    return files(home / "whole")


def kill_and_resume(home: Path, start: Start, dice: random.Random, kills: int) -> int:
    """Kill as many runs; return how many of them were killed before they had finished."""
    killed = 0
    for number in range(kills):
        already = made(home / "out")
        run = start(*WORDS, *(["--resume"] if number else []))
        goal = already + dice.randint(0, 2)
        while made(home / "out") < goal and Path(f"/proc/{run.pid}/stat").read_text().split(")")[1].split()[0] != "Z":
            time.sleep(0.001)
        time.sleep(dice.random() * 0.1)
        run.kill(signal.SIGKILL)
        killed += run.end() == -signal.SIGKILL
        for path in (home / "out").rglob("*.png"):  # A picture is whole or not there.
            assert path.read_bytes().endswith(b"IEND\xaeB`\x82")
    return killed


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_and_resumed_it_ends_as_if_nothing_had_been(
    dualpix: Command, home: Path, make_pairs: Pairs, start: Start, kills: int
) -> None:
    make_pairs(home / "pairs", *NAMES)
    expected = uninterrupted(home, dualpix)
    assert kill_and_resume(home, start, random.Random(kills), kills) > 0
    (home / "out" / "x").mkdir(parents=True, exist_ok=True)
    (home / "out" / "x" / ".dualpix-0123.partial").write_bytes(b"half")
    code, _, err = dualpix(*WORDS, "--resume")
    assert (code, err) == (0, "")
    assert files(home / "out") == expected


def test_ctrl_c_leaves_whole_pictures_and_says_how_to_go_on(
    dualpix: Command, home: Path, make_pairs: Pairs, start: Start
) -> None:
    make_pairs(home / "pairs", *NAMES)
    expected = uninterrupted(home, dualpix)
    run = start(*WORDS, "--json", "report.jsonl")
    wait_for(lambda: made(home / "out") >= 2, run)
    run.kill(signal.SIGINT)
    assert run.end() == 130
    there = files(home / "out")
    assert 2 <= len(there) < len(NAMES) and there.items() <= expected.items()
    assert run.err.read_text() == "Stopped.\n"
    assert f"out: {len(there)} pictures made, {len(NAMES) - len(there)} left to do (--resume)" in run.out.read_text()
    assert len((home / "report.jsonl").read_text().splitlines()) == len(there)
    assert dualpix(*WORDS, "--resume")[0] == 0
    assert files(home / "out") == expected


def test_two_runs_at_once_do_not_clash(dualpix: Command, home: Path, make_pairs: Pairs, start: Start) -> None:
    """The same work twice is refused, shares of it go together."""
    make_pairs(home / "pairs", *NAMES)
    expected = uninterrupted(home, dualpix)
    first = start(*WORDS)
    wait_for(lambda: made(home / "out") >= 1, first)
    code, _, err = dualpix(*WORDS, "--resume")
    assert code == 1 and "Another run is at work in out" in err and err.count("\n") == 1
    assert first.end() == 0
    assert files(home / "out") == expected
    shares = [
        start("deblur", "pairs", "-o", "shared", "-w", "w.safetensors", "--shard", f"{number}/2") for number in (1, 2)
    ]
    assert [run.end() for run in shares] == [0, 0], [run.err.read_text() for run in shares]
    assert files(home / "shared") == expected


def test_a_full_disk_ends_it_in_words(home: Path, make_pairs: Pairs, start: Start) -> None:
    """Stands for it: a process that may not write files longer than a few kilobytes; at first pictures do not
    fit, then the journal does not either."""
    make_pairs(home / "pairs", *NAMES)
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    limit += "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))"
    words = (*WORDS, "--depth", "16", "--format", "ppm")
    run = start(*words, first=limit)
    assert run.end() == 1
    told = run.err.read_text().splitlines()
    assert 1 < len(told) < len(NAMES) and all(line.startswith("dualpix: ") for line in told)
    assert "00.ppm" in told[0] and "File too large" in told[0]
    assert told[-1].startswith("dualpix: The journal in out cannot be written: File too large")
    assert files(home / "out") == {}
    again = start(*words, "--resume")
    assert again.end() == 0
    assert len(files(home / "out")) == len(NAMES)


def test_a_terminal_sees_the_time_left(home: Path, make_pairs: Pairs, start: Start) -> None:
    make_pairs(home / "pairs", "a", "b", "c")
    ours, theirs = pty.openpty()
    run = start(*WORDS, err=os.ttyname(theirs))
    code = run.end()
    shown = b""
    while select.select([ours], [], [], 0.2)[0]:
        shown += os.read(ours, 4096)
    os.close(ours)
    os.close(theirs)
    assert code == 0, shown.decode()
    lines = shown.decode().split("\r")
    assert any(line.startswith("1 of 3 pictures, about ") and line.rstrip().endswith(" left") for line in lines)
    assert lines[-1] == "" and lines[-2].strip() == ""


def test_the_commands_of_the_page_run(dualpix: Command, home: Path, make_pairs: Pairs) -> None:
    page = Path(__file__).parents[3] / "docs" / "folders.md"
    blocks = re.findall(r"^```sh\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    make_pairs(home / "pairs", "trip/a", "b")
    manifests = re.findall(r"^```json\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    (home / "pairs.jsonl").write_text(manifests[0])
    (home / "pairs.csv").write_text(re.findall(r"^```text\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)[0])
    make_pairs(home / "shots", "0815", left="{}.tif", right="{}b.tif")
    make_pairs(home / "views", "a", left="left/{}.png", right="right/{}.png")
    commands = [shlex.split(line, comments=True) for line in "".join(blocks).splitlines()]
    assert len(commands) > 5
    for words in commands:
        code, out, err = dualpix(*words[1:])
        assert code == 0, f"{shlex.join(words)}\n{out}\n{err}"


def bytes_read() -> int:
    """What this process has read from files so far, however the system came by it."""
    return int(re.search(r"^rchar: (\d+)$", Path("/proc/self/io").read_text(), re.MULTILINE)[1])  # type: ignore[index]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_thousand_pairs_take_no_more_memory_than_a_thousand_and_are_resumed_unread(
    home: Path, make_pairs: Pairs
) -> None:
    """The same views under many names. A pair costs about 20 ms of one core."""
    make_pairs(home / "views", "a")
    (home / "pairs").mkdir()
    for number in range(10_000):
        for side in "LR":
            os.link(home / "views" / f"a_{side}.png", home / "pairs" / f"{number:05}_{side}.png")
    seen: list[tuple[int, int]] = []

    def look(outcome: batch.Outcome) -> None:
        assert outcome.state == "made", outcome.error
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        seen.append((pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir("/proc/self/fd"))))

    jobs = batch.list_jobs("pairs", "out")
    weights = batch.open_weights("w.safetensors")
    batch.run_jobs(jobs, weights, DeblurOptions(), look)
    assert len(seen) == 10_000
    # Less than a kilobyte a pair: a picture that stayed would be 27, an outcome with its details about 2.
    assert max(size for size, _ in seen[-100:]) < max(size for size, _ in seen[100:1000]) + 9e6
    assert max(count for _, count in seen[-100:]) <= max(count for _, count in seen[:100])

    journal = home / "out" / "dualpix-journal.jsonl"
    names = [f"{number:05}.png" for number in range(10_000)]
    assert [line["output"] for line in lines_of(journal) if line["state"] == "made"] == names
    one = (home / "out" / names[0]).read_bytes()
    assert all((home / "out" / name).read_bytes() == one for name in names)

    whole, before = journal.read_bytes(), bytes_read()
    kept: list[batch.Outcome] = []
    batch.run_jobs(batch.list_jobs("pairs", "out"), weights, DeblurOptions(), kept.append, resume=True)
    assert len(kept) == 10_000 and not any(outcome.worked for outcome in kept)
    # It looks for what is to be done twice, and each time reads the journal, but no picture.
    assert bytes_read() - before < 2 * len(whole) + 10_000
    assert journal.read_bytes() == whole
