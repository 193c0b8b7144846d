"""What is told of an address where no cluster can be joined."""

import json
import os
import platform
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dualpix.inference.batch.ray_connection import AUTH, token_for

pytest.importorskip("ray", reason="the extra `ray` is not installed")

Command = Callable[..., tuple[int, str, str]]
Pairs = Callable[..., None]
WORDS = ("deblur", "pairs", "-o", "out", "-w", "w.safetensors")
PATIENCE_S = 1200
"""More than a run takes where its processes get a tenth of a core."""


@pytest.mark.parametrize("answer", [None, b"HTTP/1.1 400 Bad Request\r\n"])
def test_an_address_without_a_cluster_is_told(
    dualpix: Command, home: Path, make_pairs: Pairs, answer: bytes | None
) -> None:
    make_pairs(home / "pairs", "a")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"

        def reply() -> None:
            with server.accept()[0] as connection:
                connection.sendall(answer or b"")
                connection.recv(100)

        if answer is None:
            server.close()
        else:
            threading.Thread(target=reply, daemon=True).start()
        code, _, err = dualpix(*WORDS, "--ray", address)
    assert code == 1 and err.count("\n") == 1 and f"no Ray cluster at {address} (" in err and "ray start --head" in err
    assert not (home / "out").exists()


@pytest.mark.parametrize("name", ["RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"])
def test_what_the_user_sets_of_tokens_is_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    for other in AUTH:
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with token_for("local"):
        assert len(os.environ["RAY_AUTH_TOKEN"]) == 64
    with token_for("10.0.0.1:6379"):
        assert not any(other in os.environ for other in AUTH)
    monkeypatch.setenv(name, "mine")
    for address, mode in (("local", None), ("10.0.0.1:6379", "token")):
        with token_for(address):
            assert os.environ[name] == "mine" and os.environ.get("RAY_AUTH_MODE") == mode
    assert os.environ.pop(name) == "mine" and not any(other in os.environ for other in AUTH)


def test_a_token_that_is_asked_for_and_missing_is_told(
    dualpix: Command, home: Path, make_pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_pairs(home / "pairs", "a")
    for name in AUTH:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"

        def greet() -> None:
            with server.accept()[0] as connection:
                connection.sendall(b"\0\0\0\4\0\0\0\0\0")
                connection.recv(100)

        threading.Thread(target=greet, daemon=True).start()
        code, _, err = dualpix(*WORDS, "--ray", address)
    assert code == 1 and err.count("\n") == 1 and f"{address} asks for a token" in err and "auth_token" in err


@contextmanager
def head(log: Path, **settings: str) -> Iterator[str]:
    """The address of a cluster that was started with these settings in the environment."""
    own = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", **settings}
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    words = ["start", "--head", "--block", "--node-ip-address=127.0.0.1", f"--port={address.partition(':')[2]}"]
    words += ["--num-cpus=1", "--object-store-memory=80000000", "--include-dashboard=false"]
    with log.open("wb") as file:
        started = subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", *words], env=own, stdout=file, stderr=file
        )
    while b"Ray runtime started" not in log.read_bytes():
        assert started.poll() is None, log.read_text()
        time.sleep(0.1)
    yield address
    started.terminate()
    started.wait()


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[str]:
    """The address of a cluster that asks for the token `mine`."""
    with head(tmp_path / "head.log", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="mine" * 16) as address:
        yield address


OTHER = """
import json, sys
from ray._raylet import GcsClient

cluster, where = GcsClient(address=sys.argv[1]), (b"CLUSTER_METADATA", b"cluster")
kept = json.loads(cluster.internal_kv_get(*where))
cluster.internal_kv_put(where[0], json.dumps(kept | json.loads(sys.argv[2])).encode(), True, where[1])
"""
"""Lets a cluster say that it was started with other versions, as one that was would."""


@pytest.mark.slow
def test_a_cluster_of_other_versions_is_told(
    home: Path, tmp_path: Path, make_pairs: Pairs, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ray

    make_pairs(home / "pairs", "a")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    here = f"Ray {ray.__version__} with Python {platform.python_version()}"
    with head(tmp_path / "head.log") as address:
        for other in ({"ray_version": "2.49.0"}, {"ray_version": ray.__version__, "python_version": "3.10.2"}):
            subprocess.run([sys.executable, "-c", OTHER, address, json.dumps(other)], check=True)
            command = [sys.executable, "-m", "dualpix", *WORDS, "--ray", address]
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
            there = f"Ray {other['ray_version']} with Python {other.get('python_version', platform.python_version())}"
            assert done.returncode == 1 and f"cluster at {address} runs {there} and not {here}; install" in done.stderr
            assert done.stderr.count("\n") == 1 and not (home / "out").exists(), done.stderr


@pytest.mark.slow
def test_a_cluster_that_refuses_a_token_says_so(guarded: str, home: Path, make_pairs: Pairs) -> None:
    make_pairs(home / "pairs", "a")
    own = {name: value for name, value in os.environ.items() if name not in AUTH} | {"HOME": str(home)}
    command = [sys.executable, "-m", "dualpix", *WORDS, "--ray", guarded]
    for more in ({}, {"RAY_AUTH_TOKEN": "other" * 8}, {"RAY_AUTH_MODE": "disabled"}):
        done = subprocess.run(command, env=own | more, capture_output=True, text=True, timeout=PATIENCE_S)
        assert done.returncode == 1 and f"{guarded} asks for a token" in done.stderr, done.stderr
        assert done.stderr.count("\n") == 1 and not (home / "out").exists()
    done = subprocess.run(
        command, env=own | {"RAY_AUTH_TOKEN": "mine" * 16}, capture_output=True, text=True, timeout=PATIENCE_S
    )
    assert done.returncode == 0 and "1 pictures made" in done.stdout, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("user", ["empty", "/proc"])
def test_a_run_on_one_machine_writes_no_token(home: Path, make_pairs: Pairs, user: str) -> None:
    """In a home with nothing in it, and in one where nobody can write, not even root."""
    make_pairs(home / "pairs", "a")
    (home / "empty").mkdir()
    own = {name: value for name, value in os.environ.items() if name not in AUTH} | {"HOME": str(home / user)}
    command = [sys.executable, "-m", "dualpix", *WORDS, "--ray"]
    done = subprocess.run(command, env=own, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0 and "1 pictures made" in done.stdout and not done.stderr, done.stderr
    assert not [*(home / "empty").iterdir()] and not Path(user, ".ray").exists()
