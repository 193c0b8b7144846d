"""Whole files or none, in processes that are killed and side by side."""

import os
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


@pytest.mark.parametrize("has_links", [True, False])
def test_of_two_that_write_one_file_at_once_one_succeeds(
    tmp_path: Path, has_links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file comes while the other is written: between the look and the rename."""
    if not has_links:

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "link", refuse)
    real = os.fsync

    def come_between(number: int) -> None:
        real(number)
        (tmp_path / "a").write_bytes(b"the other")

    monkeypatch.setattr(os, "fsync", come_between)
    with pytest.raises(FileExistsError):
        write_whole(tmp_path / "a", b"this one", overwrite=False)
    assert (tmp_path / "a").read_bytes() == b"the other" and os.listdir(tmp_path) == ["a"]
    monkeypatch.setattr(os, "fsync", real)
    write_whole(tmp_path / "b", b"this one", overwrite=False)
    assert (tmp_path / "b").read_bytes() == b"this one"


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
    code = """
        import os, sys
        from pathlib import Path
        from dualpix.machine.files import write_whole
        os.fsync = lambda _: (print("half", flush=True), sys.stdin.readline())
        write_whole(Path(sys.argv[1]) / sys.argv[2], b"content")
    """
    killed, living = (start(code, tmp_path, name) for name in ("killed", "living"))
    for process in (killed, living):
        assert process.stdout is not None and process.stdout.readline() == "half\n"
    killed.kill()
    killed.communicate(timeout=100)
    assert len(os.listdir(tmp_path)) == 2
    write_whole(tmp_path / "next", b"")
    left = os.listdir(tmp_path)
    assert len(left) == 2 and "next" in left
    remove_leftovers(tmp_path)
    living.communicate("\n", timeout=100)
    assert living.returncode == 0 and sorted(os.listdir(tmp_path)) == ["living", "next"]


def test_together_is_all_or_none(tmp_path: Path) -> None:
    write_together([(tmp_path / "a", b"1"), (tmp_path / "b", b"2")], overwrite=False)
    assert (tmp_path / "b").read_bytes() == b"2"
    with pytest.raises(FileExistsError):
        write_together([(tmp_path / "c", b"3"), (tmp_path / "b", b"4")], overwrite=False)
    with pytest.raises(OSError, match="No such file"):
        write_together([(tmp_path / "d", b"5"), (tmp_path / "missing" / "e", b"6")])
    assert sorted(os.listdir(tmp_path)) == ["a", "b"] and (tmp_path / "b").read_bytes() == b"2"
