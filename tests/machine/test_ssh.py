"""A real server with SSH on this machine: who is let in, what is written whole, and a connection that breaks."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dualpix.machine import ssh
from dualpix.machine.storage import list_objects, mark_of, read_object, remove_object, write_object
from dualpix.machine.urls import Url

pytest.importorskip("paramiko", reason="paramiko is not installed")
SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH')}:/usr/sbin")
pytestmark = pytest.mark.skipif(SSHD is None or not hasattr(os, "fork"), reason="sshd is not installed")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Iterator[subprocess.Popen[bytes]]":
    """Called `box` in the settings of a user whose home has a key and knows the server's."""
    assert SSHD is not None
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    home = tmp_path / "home" / ".ssh"
    home.mkdir(parents=True)
    for key in (tmp_path / "host", home / "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    (home / "config").write_text(f"Host box\n  HostName 127.0.0.1\n  Port {port}\n  IdentityFile {home / 'key'}\n")
    (home / "known_hosts").write_text(f"[127.0.0.1]:{port} {(tmp_path / 'host.pub').read_text()}")
    settings = {"Port": port, "ListenAddress": "127.0.0.1", "HostKey": tmp_path / "host", "PidFile": "none"}
    settings |= {"AuthorizedKeysFile": home / "key.pub", "StrictModes": "no", "PasswordAuthentication": "no"}
    settings |= {"UsePAM": "no", "Subsystem": "sftp internal-sftp"}
    (tmp_path / "settings").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    ssh.file_system().clear_instance_cache()
    os.makedirs("/run/sshd", exist_ok=True) if os.getuid() == 0 else None
    with subprocess.Popen([SSHD, "-D", "-e", "-f", str(tmp_path / "settings")], stderr=subprocess.DEVNULL) as process:
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield process
        process.kill()


def test_files_are_written_whole_listed_and_removed(server: "subprocess.Popen[bytes]", tmp_path: Path) -> None:
    folder = Url(f"sftp://box{tmp_path}/shots")
    assert list_objects(folder) == {} and mark_of(folder / "a") is None
    first = write_object(folder / "ü y" / "a b.bin", b"123")
    assert (tmp_path / "shots" / "ü y" / "a b.bin").read_bytes() == b"123"
    assert list_objects(folder) == {folder / "ü y" / "a b.bin": first}
    write_object(folder / "ü y" / "a b.bin", b"4567")
    assert read_object(folder / "ü y" / "a b.bin") == b"4567"
    sessions = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    for session in sessions:
        os.kill(int(session), signal.SIGKILL)
    assert sessions and read_object(folder / "ü y" / "a b.bin") == b"4567", "a broken connection is made anew"
    assert [path.name for path in (tmp_path / "shots" / "ü y").iterdir()] == ["a b.bin"]
    remove_object(folder / "ü y" / "a b.bin")
    assert list_objects(folder) == {}


def test_who_is_not_known_is_told_at_once(server: "subprocess.Popen[bytes]", tmp_path: Path) -> None:
    place = Url(f"sftp://box{tmp_path}/a.bin")
    home = tmp_path / "home" / ".ssh"
    known = (home / "known_hosts").read_text()
    (home / "known_hosts").write_text("")
    began = time.monotonic()
    with pytest.raises(PermissionError, match="is none of the known hosts; connect once by `ssh`"):
        write_object(place, b"1")
    (home / "known_hosts").write_text(known)
    (home / "key").unlink()
    (home / "config").write_text((home / "config").read_text().replace(f"IdentityFile {home / 'key'}", ""))
    with pytest.raises(PermissionError, match="no credentials that its service takes were found"):
        write_object(place, b"1")
    assert time.monotonic() - began < 30 and not (tmp_path / "a.bin").exists()
