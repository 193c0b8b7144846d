"""`dualpix deblur FOLDER --ray`: the same as without, and what is told before any work."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from object_store import Server

pytest.importorskip("ray", reason="the extra `ray` is not installed")

Command = Callable[..., tuple[int, str, str]]
Pairs = Callable[..., None]
WORDS = ("deblur", "pairs", "-o", "out", "-w", "w.safetensors")
KILLING = Path(__file__).parents[3] / "benchmarks" / "kill_ray.py"


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Whoever asks for something outside, through the proxy that the environment names, is written down here."""
    asked: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen() -> None:
            while True:
                try:
                    with server.accept()[0] as connection:
                        asked.append(connection.recv(200).decode(errors="replace"))
                except OSError:
                    return

        threading.Thread(target=listen, daemon=True).start()
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{server.getsockname()[1]}")
        yield asked
        server.shutdown(socket.SHUT_RDWR)


@pytest.mark.slow
def test_a_cluster_makes_what_one_process_makes(home: Path, make_pairs: Pairs, proxy: list[str]) -> None:
    """In a process of its own, as a user runs it."""
    make_pairs(home / "pairs", "a", "b", "x/c", "ü y/d")
    (home / "pairs" / "b_R.png").write_bytes(b"")
    ended = {}
    for target, more in (("whole", ()), ("out", ("--ray", "--worker-cpus", "1"))):
        words = ["deblur", "pairs", "-o", target, "-w", "w.safetensors", "--json", f"{target}.jsonl", *more]
        done = subprocess.run([sys.executable, "-m", "dualpix", *words], capture_output=True, text=True, timeout=500)
        ended[target] = done.returncode, done.stderr, done.stdout.split(" in ")[0].replace(target, "")
    assert ended["out"] == ended["whole"] and ended["out"][0] == 1
    found = {
        target: {str(path.relative_to(target)): path.read_bytes() for path in Path(target).rglob("*.png")}
        for target in ended
    }
    assert found["out"] == found["whole"] and len(found["out"]) == 3
    assert [path.name for path in Path("out").glob("*.jsonl")] == ["dualpix-journal.jsonl"]
    reports = {
        target: [json.loads(line) for line in Path(f"{target}.jsonl").read_text().splitlines()] for target in ended
    }
    for lines in reports.values():
        for line in lines:
            line["output"] = line["output"].partition("/")[2]
            line.pop("seconds", None)
        lines.sort(key=lambda line: line["output"])
    assert reports["out"] == reports["whole"]
    assert proxy == []


@pytest.mark.slow
def test_maps_lie_in_a_bucket(home: Path, make_pairs: Pairs, server: Server) -> None:
    make_pairs(home / "pairs", "a", "x/b")
    command = [sys.executable, "-m", "dualpix", "deblur", "pairs", "-o"]
    subprocess.run([*command, "whole", "--disparity", "maps"], check=True, timeout=300)
    words = [*command, "out", "--disparity", "s3://photos/maps", "--resume", "--ray", "--worker-cpus", "1"]
    for told in ("2 pictures made", "0 pictures made, 2 were finished before"):
        done = subprocess.run(words, capture_output=True, text=True, timeout=500)
        assert done.returncode == 0 and told in done.stdout, done.stderr
    for here, there in (("maps", home / "buckets" / "photos" / "maps"), ("whole", home / "out")):
        made = [path for path in Path(here).rglob("*") if path.suffix in (".png", ".tif")]
        assert len(made) == 2
        for path in made:
            assert (there / path.relative_to(here)).read_bytes() == path.read_bytes()


def descendants(pid: int) -> set[int]:
    """Processes that a process started, and those that these did."""
    found = set()
    for path in Path("/proc").glob(f"{pid}/task/*/children"):
        for child in map(int, path.read_text().split()):
            found |= {child} | descendants(child)
    return found


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs the /proc of Linux")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_an_interrupted_run_ends_in_order(
    dualpix: Command, home: Path, make_pairs: Pairs, number: signal.Signals, code: int
) -> None:
    make_pairs(home / "pairs", *(f"p{one:03}" for one in range(200)))
    words = [*WORDS, "--json", "report.jsonl", "--ray"]
    with subprocess.Popen(
        [sys.executable, "-m", "dualpix", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        while len(list((home / "out").glob("p*.png"))) < 10:
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        started = descendants(process.pid)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code and err == ("Stopped.\n" if number == signal.SIGINT else "")
    until = time.monotonic() + 10
    while (left := [*filter(is_alive, started)]) and time.monotonic() < until:
        time.sleep(0.1)
    assert len(started) > 2 and not left
    made = {path.name: path.read_bytes() for path in (home / "out").iterdir()}
    journal = made.pop("dualpix-journal.jsonl")
    assert all(name.startswith("p") for name in made) and 10 <= len(made) < 200
    told = [json.loads(line) for line in (home / "report.jsonl").read_text().splitlines()]
    assert sorted(Path(line["output"]).name for line in told) == sorted(made)
    assert out.startswith(f"out: {len(made)} pictures made, {200 - len(made)} left to do (--resume)")
    assert b'"tried"' not in journal
    found, out, err = dualpix(*WORDS, "--resume")
    assert found == 0 and f"{200 - len(made)} pictures made, {len(made)} were finished before" in out, err
    assert all((home / "out" / name).read_bytes() == content for name, content in made.items())


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ([*WORDS, "--ray", "10.0.0.1"], 1, "10.0.0.1"),
        ([*WORDS, "--ray", "ray://head:10001"], 1, "HOST:PORT"),
        ([*WORDS, "--ray", "--shard", "1/2"], 2, "--shard"),
        ([*WORDS, "--worker-cpus", "2"], 2, "--ray"),
        ([*WORDS, "--ray", "--worker-cpus", "0"], 1, "--worker-cpus 1"),
        (["deblur", "pairs", "-o", "memory://b/out", "-w", "w.safetensors", "--ray"], 1, "memory://b/out lies in"),
        ([*WORDS[:-2], "--ray", "--worker-cpus", "0", "--dry-run"], 1, "--worker-cpus 1"),
        (["deblur", "pairs/a_L.png", "pairs/a_R.png", "-o", "out.png", "--ray"], 2, "only for a folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_bad_usage_is_told_before_any_work(
    dualpix: Command, home: Path, make_pairs: Pairs, words: list[str], code: int, says: str
) -> None:
    make_pairs(home / "pairs", "a")
    found, out, err = dualpix(*words)
    assert found == code and says in out + err
    assert not (home / "out").exists()


@pytest.mark.slow
def test_workers_nodes_and_drivers_can_be_killed() -> None:
    command = [sys.executable, str(KILLING), "--rounds", "1", "--pairs", "240"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
