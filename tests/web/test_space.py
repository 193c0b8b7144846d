"""A server whose disk fills up: a file system of a few megabytes, real and of its own, mounted for one process."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from asking import KIND, Client, multipart, pair_of, serving

UNSHARE = shutil.which("unshare")
MOUNT = 'mount -t tmpfs -o size=24m tmpfs "$TMPDIR" && exec "$@"'


def may_mount() -> bool:
    if UNSHARE is None:
        return False
    words = [UNSHARE, "-Urm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return subprocess.run(words, capture_output=True, check=False, timeout=60).returncode == 0


pytestmark = pytest.mark.skipif(not may_mount(), reason="needs user namespaces in which file systems may be mounted")


class Disk:
    """The server's file system as seen from here."""

    def __init__(self, process: int, folder: Path) -> None:
        self.root = Path(f"/proc/{process}/root{folder}")

    @property
    def free(self) -> int:
        return shutil.disk_usage(self.root).free

    @contextmanager
    def only(self, size: int) -> Iterator[None]:
        """With all but `size` bytes taken."""
        ballast = self.root / "ballast"
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, self.free - size)
        try:
            yield
        finally:
            ballast.unlink()

    @property
    def uploads(self) -> list[Path]:
        return list(self.root.glob("dualpix-web-*/uploads/*"))


@contextmanager
def small_disk(weights: Path, folder: Path, *words: str) -> Iterator[tuple[Client, Disk, "subprocess.Popen[str]"]]:
    before = (str(UNSHARE), "-Urm", "sh", "-c", MOUNT, "sh")
    with serving(weights, folder, *words, before=before) as (client, process):
        yield client, Disk(process.pid, folder), process


def test_whatever_a_full_disk_stopped_can_be_tried_again(weights: Path, tmp_path: Path) -> None:
    """During the upload, the check, the deblurring and the download: 503 and a sentence, and then it goes well."""
    pair = pair_of(320, 320)
    body = multipart({**pair, "start": "no"})
    with small_disk(weights, tmp_path, "--limit", "free_disk_bytes=0") as (client, disk, process):
        pieces = [body[at : at + 2**16] for at in range(0, len(body), 2**16)]
        with disk.only(len(body) // 2):
            told_before = client.ask("POST", "/api/jobs", body, content_type=KIND)
            found_out = client.ask("POST", "/api/jobs", iter(pieces), content_type=KIND)
            for reply in (told_before, found_out):
                assert reply.status == 503 and "disk" in reply.error and int(reply.headers["retry-after"]) > 0
            assert client.get("/ready").status == 200 and disk.uploads == []
        with disk.only(len(body) + 16_384):
            job = client.ask("POST", "/api/jobs", body, content_type=KIND).json["id"]
            told = client.wait(job)
            assert (told["state"], told["status"]) == ("failed", 503) and "disk" in told["error"]
            assert client.get(f"/api/jobs/{job}/left").status == 503
        assert client.post(f"/api/jobs/{job}/start").status == 202
        assert client.wait(job)["state"] == "done"
        with disk.only(4096):
            assert client.post(f"/api/jobs/{job}/start").status == 202
            told = client.wait(job)
            assert (told["state"], told["status"]) == ("failed", 503) and "disk" in told["error"]
        assert client.post(f"/api/jobs/{job}/start").status == 202
        assert client.wait(job)["state"] == "done"
        with disk.only(4096):
            reply = client.get(f"/api/jobs/{job}/result")
            assert reply.status == 503 and "disk" in reply.error and int(reply.headers["retry-after"]) > 0
            assert not client.get(f"/api/jobs/{job}").json["fetched"]
        with disk.only(20 * 320 * 320 // 2):  # as much as the check before it asks for, and no more
            assert client.get(f"/api/jobs/{job}/result?format=tif").status in (200, 503)
        assert client.get(f"/api/jobs/{job}/result").status == 200
        assert not [path for folder in disk.uploads for path in folder.iterdir() if path.name.startswith((".", "down"))]
        process.terminate()
        _, errors = process.communicate(timeout=90)
    assert "Traceback" not in errors


def test_what_is_left_alone_is_left_alone(weights: Path, tmp_path: Path) -> None:
    """Fault 32: a small pair is taken where a large one is not; uploads under way count with all they announced."""
    small = multipart({**pair_of(48, 56), "start": "no"})
    with small_disk(weights, tmp_path, "--limit", "free_disk_bytes=4MB") as (client, disk, _), disk.only(10_000_000):
        assert client.ask("POST", "/api/jobs", small, content_type=KIND).status == 202
        with socket.create_connection(("127.0.0.1", client.port), timeout=60) as slow:
            head = f"POST /api/jobs HTTP/1.1\nHost: localhost\nContent-Type: {KIND}\nContent-Length: 5000000"
            slow.sendall(head.replace("\n", "\r\n").encode() + b"\r\nExpect: 100-continue\r\n\r\n")
            assert slow.recv(12) == b"HTTP/1.1 100", "it is being read"
            large = multipart({"left": bytes(2_000_000)})
            assert client.ask("POST", "/api/jobs", large, content_type=KIND).status == 503
            pieces = (large[at : at + 2**18] for at in range(0, len(large), 2**18))
            assert client.ask("POST", "/api/jobs", pieces, content_type=KIND).status == 503
            assert client.ask("POST", "/api/jobs", small, content_type=KIND).status == 202
            assert disk.free > 9_000_000
