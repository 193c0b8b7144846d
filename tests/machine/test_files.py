"""Whole files or none, in processes that are killed and side by side."""

import os
import signal
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from dualpix.errors import PictureError
from dualpix.io import check_output, refuse_overwriting_inputs
from dualpix.machine.files import remove_leftovers, write_together, write_whole


def start(code: str, *words: object) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o755])
def test_a_replaced_file_keeps_its_permissions(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    path.chmod(mode)
    (tmp_path / "link").symlink_to(path)
    write_whole(tmp_path / "link", b"new")
    assert path.read_bytes() == b"new" and path.stat().st_mode & 0o777 == mode


def test_a_replaced_file_keeps_its_access_list(tmp_path: Path) -> None:
    """The group itself may not read it, but user 7 may: without the list, its mode of 660 would let the group in."""
    entries = [(1, 6, -1), (2, 6, 7), (4, 0, -1), (16, 6, -1), (32, 0, -1)]  # owner, user 7, group, mask, others
    access = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    path = tmp_path / "a"
    path.write_bytes(b"old")
    try:
        os.setxattr(path, "system.posix_acl_access", access)
    except (AttributeError, OSError):
        pytest.skip("no access lists here")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new" and path.stat().st_mode & 0o777 == 0o660
    assert os.getxattr(path, "system.posix_acl_access") == access


def test_a_file_protected_against_writing_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    path.chmod(0o444)
    with pytest.raises(PermissionError, match="protected"):
        write_whole(path, b"new")
    with pytest.raises(PictureError, match=r"a\.png cannot be written: it is protected against writing"):
        check_output(path, overwrite=True)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.png"]


def test_links_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "there.png").symlink_to(tmp_path / "back.png")
    (tmp_path / "back.png").symlink_to(tmp_path / "there.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "missing" / "a.png")
    for name in ("loop.png", "there.png"):
        for overwrite in (False, True):
            with pytest.raises(PictureError, match=r"cannot be written: .*symbolic links"):
                check_output(tmp_path / name, overwrite)
        with pytest.raises(OSError, match="symbolic links"):
            write_whole(tmp_path / name, b"")
        refuse_overwriting_inputs(tmp_path / name, [tmp_path / name])
    with pytest.raises(PictureError, match="missing does not exist"):
        check_output(tmp_path / "gone.png")
    (tmp_path / "new.png").symlink_to(tmp_path / "new")
    write_whole(tmp_path / "new.png", b"x", overwrite=False)  # a link to what is not there yet
    assert (tmp_path / "new").read_bytes() == b"x" and (tmp_path / "new.png").is_symlink()


LENGTH = 2**25

WRITE = """
    import sys
    from pathlib import Path
    from dualpix.machine.files import write_whole
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        write_whole(Path(sys.argv[1]), bytes(int(sys.argv[2])), overwrite=False)
    except FileExistsError:
        sys.exit(3)
"""


def stopped_while_writing(path: Path) -> "subprocess.Popen[str]":
    """A process that the system holds while `path` is half written, under its hidden name."""
    for _ in range(50):
        before = set(os.listdir(path.parent))
        process = start(WRITE, path, LENGTH)
        assert process.stdin is not None and process.stdout is not None and process.stdout.readline() == "ready\n"
        process.stdin.write("\n")
        process.stdin.flush()
        while process.poll() is None and set(os.listdir(path.parent)) == before:
            pass
        process.send_signal(signal.SIGSTOP)
        if process.poll() is None:
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        if process.poll() is None and not path.exists() and set(os.listdir(path.parent)) != before:
            return process
        process.send_signal(signal.SIGCONT)  # it was too quick
        process.communicate(timeout=100)
        path.unlink(missing_ok=True)
    raise AssertionError("every process had finished before it could be stopped")


def go_on(process: "subprocess.Popen[str]") -> int:
    """The exit code of a process that was stopped."""
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=100)
    return process.returncode


def test_a_file_that_comes_while_it_is_written_is_not_replaced(tmp_path: Path) -> None:
    """Between the look at the name and the renaming."""
    process = stopped_while_writing(tmp_path / "a")
    (tmp_path / "a").write_bytes(b"the other")
    assert go_on(process) == 3
    assert (tmp_path / "a").read_bytes() == b"the other" and os.listdir(tmp_path) == ["a"]


def test_a_disk_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test can count on having such a disk: the one thing here that is not the system's own refusal."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    write_whole(tmp_path / "a", b"this one", overwrite=False)
    with pytest.raises(FileExistsError):
        write_whole(tmp_path / "a", b"another", overwrite=False)
    assert (tmp_path / "a").read_bytes() == b"this one" and os.listdir(tmp_path) == ["a"]


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    """The system refuses what goes beyond the limit of a file's size in the middle of writing, as a full disk does."""
    (tmp_path / "a").write_bytes(b"old")
    code = """
        import errno, resource, sys
        from pathlib import Path
        from dualpix.machine.files import write_together, write_whole
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, 2**20))
        folder = Path(sys.argv[1])
        for write in (
            lambda: write_whole(folder / "a", bytes(2**21)),
            lambda: write_together([(folder / "b", b"small"), (folder / "a", bytes(2**21))]),
        ):
            try:
                write()
            except OSError as error:
                print(errno.errorcode[error.errno], Path(error.filename).name)
    """
    assert start(code, tmp_path).communicate(timeout=100)[0] == "EFBIG a\nEFBIG a\n"
    assert (tmp_path / "a").read_bytes() == b"old" and os.listdir(tmp_path) == ["a"]


def test_many_at_once_without_overwriting_are_one(tmp_path: Path) -> None:
    code = """
        import sys
        from pathlib import Path
        from dualpix.machine.files import write_whole
        print("ready", flush=True)
        sys.stdin.readline()
        made = 0
        for number in range(200):
            try:
                write_whole(Path(sys.argv[1]) / str(number), sys.argv[2].encode(), overwrite=False)
                made += 1
            except FileExistsError:
                pass
        print(made)
    """
    processes = [start(code, tmp_path, name) for name in "ab"]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    counts = [int(process.communicate(timeout=100)[0]) for process in processes]
    texts = [(tmp_path / str(number)).read_text() for number in range(200)]
    assert counts == [texts.count("a"), texts.count("b")] and len(os.listdir(tmp_path)) == 200


def test_what_a_killed_writer_left_goes_with_the_next_file_but_not_what_a_living_one_writes(tmp_path: Path) -> None:
    killed, living = (stopped_while_writing(tmp_path / name) for name in ("killed", "living"))
    killed.kill()
    killed.communicate(timeout=100)
    assert len(os.listdir(tmp_path)) == 2
    write_whole(tmp_path / "next", b"")
    left = os.listdir(tmp_path)
    assert len(left) == 2 and "next" in left
    remove_leftovers(tmp_path)
    assert go_on(living) == 0 and sorted(os.listdir(tmp_path)) == ["living", "next"]
    assert (tmp_path / "living").stat().st_size == LENGTH


def test_together_is_all_or_none(tmp_path: Path) -> None:
    write_together([(tmp_path / "a", b"1"), (tmp_path / "b", b"2")], overwrite=False)
    assert (tmp_path / "b").read_bytes() == b"2"
    with pytest.raises(FileExistsError):
        write_together([(tmp_path / "c", b"3"), (tmp_path / "b", b"4")], overwrite=False)
    with pytest.raises(OSError, match="No such file"):
        write_together([(tmp_path / "d", b"5"), (tmp_path / "missing" / "e", b"6")])
    assert sorted(os.listdir(tmp_path)) == ["a", "b"] and (tmp_path / "b").read_bytes() == b"2"


KILLED = """
    import os, signal, sys
    from pathlib import Path
    from dualpix.machine import files
    calls = 0

    def counted(call):
        def wrapper(*words):
            global calls
            calls += 1
            if calls == int(sys.argv[2]):
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*words)
        return wrapper

    os.link, os.replace = counted(os.link), counted(os.replace)
    folder = Path(sys.argv[1])
    files.write_together([(folder / "a", b"new"), (folder / "b", b"new")], overwrite=sys.argv[3] == "1")
"""
"""Kills itself instead of taking a name, the first time that of the record, then those of the files."""


def killed_at(folder: Path, number: int, overwrite: bool) -> None:
    process = start(KILLED, folder, number, int(overwrite))
    process.communicate(timeout=100)
    assert process.returncode == -signal.SIGKILL


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("overwrite", [False, True])
def test_killed_between_two_names_the_next_run_makes_up_for_the_other(tmp_path: Path, overwrite: bool) -> None:
    old = {"a": b"old", "b": b"old"} if overwrite else {}
    for number in (1, 2, 3):
        folder = tmp_path / str(number)
        folder.mkdir()
        for name, content in old.items():
            (folder / name).write_bytes(content)
        killed_at(folder, number, overwrite)
        folder = folder.rename(tmp_path / f"moved-{number}")
        remove_leftovers(folder)
        assert contents(folder) == (old if number == 1 else {"a": b"new", "b": b"new"})


def test_what_has_changed_since_stays_and_nothing_is_left_by_half(tmp_path: Path) -> None:
    killed_at(tmp_path, 3, False)
    (tmp_path / "b").write_bytes(b"another's")
    remove_leftovers(tmp_path)
    assert contents(tmp_path) == {"b": b"another's"}


def test_a_record_that_is_none_of_ours_renames_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine").write_bytes(b"mine")
    for number, text in enumerate((
        "", "[]", "{", '{"files": 3, "overwrite": true}', '{"files": [["mine", "other", null]], "overwrite": true}',
        '{"files": [[".dualpix-0-0.partial", "../other", null]], "overwrite": true}',
    )):  # fmt: skip
        (tmp_path / f".dualpix-{number}.together").write_text(text)
    remove_leftovers(tmp_path)
    assert contents(tmp_path) == {"mine": b"mine"}
