"""The server as a process of its own: started, stopped and killed as users do it."""

import inspect
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from asking import KIND, Client, multipart, pair_of, running, serving

from dualpix.checkpoint import Checkpoint
from dualpix.cli.serving import web
from dualpix.web.desk import Desk
from dualpix.web.guard import LOOPBACK
from dualpix.web.serving import address_of, bound, names_of, serve, sweep

Command = Callable[..., tuple[int, str, str]]


def test_killed_in_the_middle_and_started_again(weights: Path, tmp_path: Path) -> None:
    """What a killed server leaves behind is removed by the next; Ctrl-C and a request to end leave nothing."""
    with serving(weights, tmp_path) as (client, process):
        job = client.upload(pair_of(320, 64)).json["id"]
        client.wait(job, "running", "done")
        process.kill()
        process.wait()
    assert len(list(tmp_path.glob("dualpix-web-*"))) == 1
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        with serving(weights, tmp_path) as (client, process):
            assert [path.name.split("-")[2] for path in tmp_path.glob("dualpix-web-*")] == [str(process.pid)]
            assert client.get(f"/api/jobs/{job}").status == 404
            client.upload(pair_of(24, 24))
            process.send_signal(number)
            _, errors = process.communicate(timeout=90)
            assert process.returncode == code
            assert "Traceback" not in errors
        assert not list(tmp_path.glob("dualpix-web-*"))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_a_large_upload_is_not_held_in_memory(weights: Path, tmp_path: Path) -> None:
    """R19: 120 MB that are no picture."""
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
    with running(Desk(tmp_path, small), hosts=LOOPBACK | names_of("0.0.0.0"), any_address=True) as client:
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


def test_wrong_settings_are_told_before_serving(dualpix: Command, tmp_path: Path) -> None:
    for words in (
        ["--memory", "lots"],
        ["--weights", str(tmp_path / "none.safetensors")],
        ["--host", "nowhere.invalid"],
    ):
        code, _, errors = dualpix("web", "--port", "0", *words)
        assert code == 1 and errors.splitlines()[-1].startswith("dualpix: ")


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


def test_a_socket_is_closed_afterwards() -> None:
    with bound("127.0.0.1", 0) as listening:
        port = listening.getsockname()[1]
    with bound("127.0.0.1", port) as again:
        assert again.getsockname()[1] == port
