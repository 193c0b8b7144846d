"""The server as a process of its own: started, stopped and killed as users do it."""

import inspect
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from asking import KIND, Client, multipart, pair_of, running, serving

from dualpix.cli.web import web
from dualpix.web.folders import folder
from dualpix.web.guard import LOOPBACK
from dualpix.web.jobs import Jobs
from dualpix.web.serving import address_of, bound, names_of, serve, sweep
from dualpix.weights.checkpoint import Checkpoint

Command = Callable[..., tuple[int, str, str]]


SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.mark.parametrize("numbers", [SIGNALS[:1], pytest.param(SIGNALS[1:], marks=pytest.mark.slow)])
def test_killed_in_the_middle_and_started_again(weights: Path, tmp_path: Path, numbers: tuple[int, ...]) -> None:
    """What a killed server leaves behind is removed by the next; Ctrl-C, a request to end and a closed terminal leave
    nothing, and tell whoever is in the middle of an upload why."""
    with serving(weights, tmp_path) as (client, process):
        job = client.upload(pair_of(320, 64)).json["id"]
        client.wait(job, "running", "done")
        process.kill()
        process.wait()
    assert len(list(tmp_path.glob("dualpix-web-*"))) == 1
    for number in numbers:
        with serving(weights, tmp_path, "--limit", "stop_s=0.5") as (client, process):
            assert [path.name.split("-")[2] for path in tmp_path.glob("dualpix-web-*")] == [str(process.pid)]
            assert client.get(f"/api/jobs/{job}").status == 404
            client.upload(pair_of(24, 24))
            with half_an_upload(client) as connection:
                process.send_signal(number)
                answer = b"".join(iter(lambda: connection.recv(65536), b""))
                assert answer.startswith(b"HTTP/1.1 503") and b"stopping" in answer
            _, errors = process.communicate(timeout=90)
            assert process.returncode == 128 + number
            assert errors == "Stopped.\n"
        assert not list(tmp_path.glob("*dualpix*"))


@contextmanager
def half_an_upload(client: Client) -> Iterator[socket.socket]:
    """A connection whose upload is being read, and has not ended."""
    body = multipart(pair_of(96, 96))
    with socket.create_connection(("127.0.0.1", client.port), timeout=60) as connection:
        head = f"POST /api/jobs HTTP/1.1\nHost: localhost\nContent-Type: {KIND}\nContent-Length: {len(body)}"
        connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 100")
        connection.sendall(body[:2000])
        yield connection


def test_the_settings_of_a_server_behind_another(weights: Path, tmp_path: Path) -> None:
    """--allow-host, --limit and --log as the page on them says."""
    words = ["--allow-host", "photos.example.org", "--allow-host", "Box:8443", "--log"]
    words += ["--limit", "megapixels=0.01", "--limit", "kept_s=60", "--limit", "body_bytes=2MB"]
    names = {"left": "grandmother_L.png", "right": "grandmother_R.png"}
    with serving(weights, tmp_path, *words) as (client, process):
        for host, status in {"photos.example.org": 200, "PHOTOS.example.org:443": 200, "box": 200, "box:8443": 200,
                             "localhost": 200, "example.org": 403, "example.org.evil.com": 403}.items():  # fmt: skip
            assert client.get("/api/limits", host=host).status == status
        for origin, status in {"https://photos.example.org": 200, "https://box:8443": 200, "https://box": 403,
                               "https://example.org": 403}.items():  # fmt: skip
            assert client.get("/api/limits", host="photos.example.org", origin=origin).status == status
        assert client.get("/api/limits").json == {"body_bytes": 2_000_000, "megapixels": 0.01, "kept_s": 60.0}
        large = client.upload(pair_of(120, 120), names)
        assert large.status == 202 and not large.headers["location"].startswith(("/", "http"))
        assert client.wait(large.json["id"])["status"] == 422
        job = client.done(pair_of(24, 24), names)["id"]
        assert client.wait(job, "done")["state"] == "done"
        assert client.get(f"/api/jobs/{job}/result?strength=0.5").status == 200
        assert client.get("/somewhere/secret.txt").status == 404
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=90)
    *lines, last = log.splitlines()
    assert last == "Stopped." and all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", line) for line in lines)
    for words_told in ("GET /api/limits 403", "POST /api/jobs 202", "GET /api/jobs/ID/result 200", "GET other 404",
                       "pair 1: check: 422", "pair 2: deblur: done", "pair 2: render: done"):  # fmt: skip
        assert any(words_told in line for line in lines)
    for personal in (job, "grandmother", "127.0.0.1", "secret", "strength", "example.org", str(tmp_path)):
        assert personal not in log


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_a_large_upload_is_not_held_in_memory(weights: Path, tmp_path: Path) -> None:
    """120 MB that are no picture."""
    with serving(weights, tmp_path) as (client, process):
        assert client.done(pair_of(24, 24))["state"] in ("ready", "done")
        before = peak_mb(process.pid)
        start, end = multipart({"left": b"CUT", "right": pair_of(24, 24)["right"]}).split(b"CUT", 1)
        chunks = [start, *[bytes(1_000_000)] * 120, end]
        length = str(sum(map(len, chunks)))
        reply = client.ask("POST", "/api/jobs", iter(chunks), content_type=KIND, content_length=length)
        assert reply.status == 202 and client.wait(reply.json["id"])["state"] == "failed"
        assert peak_mb(process.pid) - before < 60


def peak_mb(process: int) -> float:
    """The most memory that this process has ever held."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1000


def test_only_this_machine_by_default(client: Client) -> None:
    assert all(inspect.signature(door).parameters["host"].default == "127.0.0.1" for door in (web, serve))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing; tells this machine's own address
        except OSError:
            pytest.skip("this machine has no address but its own")
        own = probe.getsockname()[0]
    with pytest.raises(OSError), socket.create_connection((own, client.port), timeout=10):
        pass


def test_everywhere_if_asked_and_then_by_any_address(small: Checkpoint, tmp_path: Path) -> None:
    with running(Jobs(tmp_path, small), hosts=LOOPBACK | names_of("0.0.0.0"), any_address=True) as client:
        assert client.get("/", host="192.168.7.7").status == client.get("/", host=socket.gethostname()).status == 200
        assert client.get("/", host="evil.com").status == 403


def test_other_hosts_are_warned_of(dualpix: Command) -> None:
    code, _, errors = dualpix("web", "--port", "0", "--host", "nowhere.invalid")
    assert code == 1 and "without a password" in errors.splitlines()[0]


def test_a_port_in_use_is_one_sentence(dualpix: Command) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, _, errors = dualpix("web", "--port", str(taken.getsockname()[1]))
    assert code == 1
    assert errors.count("\n") == 1 and "--port" in errors


def test_the_port_of_another_server_is_one_sentence(client: Client, dualpix: Command) -> None:
    for host in ("127.0.0.1", "localhost"):
        code, _, errors = dualpix("web", "--port", str(client.port), "--host", host)
        assert code == 1 and errors.count("\n") == 1 and "--port" in errors
    assert client.get("/health").status == 200


WRONG = [
    ["--memory", "lots"],
    ["--weights", "none.safetensors"],
    ["--host", "nowhere.invalid"],
    ["--host", ""],
    ["--host", " "],
    ["--host", "a\0b"],
    ["--host", "x" * 300],
    ["--allow-host", ""],
    ["--allow-host", "http://photos.example.org/"],
    ["--allow-host", "*"],
    ["--limit", ""],
    ["--limit", "kept_jobs"],
    ["--limit", "kept=3"],
    ["--limit", "kept_jobs=0"],
    ["--limit", "kept_jobs=1.5"],
    ["--limit", "kept_jobs=-1"],
    ["--limit", "head_s=nan"],
    ["--limit", "head_s=inf"],
    ["--limit", "head_s=1e999"],
    ["--limit", "kept_jobs=" + "9" * 5000],
    ["--limit", "body_bytes=-5"],
    ["--limit", "body_bytes=lots"],
    ["--limit", "body_bytes=1e400GB"],
]


@pytest.mark.parametrize("words", WRONG, ids=lambda words: f"{words[0]} {words[1][:20]!r}")
def test_wrong_settings_are_told_before_serving(dualpix: Command, words: list[str]) -> None:
    code, _, errors = dualpix("web", "--port", "0", *words)
    note, _, sentence = errors.rpartition("dualpix: ")
    assert code == 1 and sentence.count("\n") == 1 and len(sentence) < 700
    assert note == "" or note.startswith("Note: ")


def test_without_the_extra(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["uvicorn"] = None
from dualpix.cli import main
sys.argv = ["dualpix", "web"]
main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 1
    assert "pip install -e '.[web]'" in done.stderr and "Traceback" not in done.stderr


def test_addresses() -> None:
    assert address_of("0.0.0.0", 80) == "http://127.0.0.1:80/" and address_of("::1", 8) == "http://[::1]:8/"
    assert names_of("::1") == {"::1"} and names_of("Box.lan") == {"box.lan"}
    assert socket.gethostname().lower() in names_of("0.0.0.0")


def test_sweeping_keeps_what_runs_and_what_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    kept = [f"dualpix-web-{os.getpid()}-a", "dualpix-web-x-a", "other"]
    for name in (*kept, f"dualpix-web-{ended.pid}-b"):
        (tmp_path / name).mkdir()
    sweep()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


@pytest.mark.skipif(sys.platform == "win32", reason="nothing is locked there")
def test_a_lock_tells_what_was_left_and_not_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container every server may have the number 1, and another's folder that of a process that runs here."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    in_use, left = (tmp_path / f"dualpix-web-{number}-x" for number in (ended.pid, os.getpid()))
    for path in (in_use, left):
        (path / "uploads" / "job").mkdir(parents=True)
        (path / "lock").touch()
    holder = "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); input()"
    line = [sys.executable, "-c", holder, str(in_use / "lock")]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline()
        with folder() as own:
            sweep()
            assert sorted(tmp_path.iterdir()) == sorted([in_use, own.parent])
        process.communicate(b"\n")
    sweep()
    assert not list(tmp_path.iterdir())


def test_a_socket_is_closed_afterwards() -> None:
    with bound("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
    with bound("127.0.0.1", port) as again:
        assert again.getsockname()[1] == port
