"""What is told of an address where no cluster can be joined."""

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="the extra `ray` is not installed")

Command = Callable[..., tuple[int, str, str]]
Pairs = Callable[..., None]
WORDS = ("deblur", "pairs", "-o", "out", "-w", "w.safetensors")


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
