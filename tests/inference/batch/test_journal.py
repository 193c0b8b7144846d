"""The journal says the truth, however its writer died."""

from pathlib import Path

import pytest

from dualpix.errors import PictureError
from dualpix.inference.batch.journal import NAME, Journal, JournalError, Stamp, read_journals

WHOLE = (1, 1)
MADE = {"state": "made", "output": "a.png", "signature": "s", "file": [10, 20]}


def write(folder: Path, *entries: dict[str, object], shard: tuple[int, int] = WHOLE) -> None:
    with Journal(folder, shard, []) as journal:
        for entry in entries:
            journal.append(entry)


def test_what_was_made_begun_and_given_up_is_known(tmp_path: Path) -> None:
    write(tmp_path, {"state": "started", "output": "a.png"}, MADE, {"state": "started", "output": "b.png"})
    write(tmp_path, {"state": "started", "output": "c.png"}, {"state": "failed", "output": "c.png"}, shard=(2, 3))
    known = read_journals(tmp_path)
    assert known["a.png"].made == {("s", Stamp(10, 20))} and not known["a.png"].started
    assert known["b.png"].started and not known["b.png"].made
    assert "c.png" not in known


def test_a_journal_cut_at_any_byte_is_read_and_gone_on_with(tmp_path: Path) -> None:
    entries = [{**MADE, "output": f"{number} ü.png"} for number in range(3)]
    write(tmp_path, *entries)
    path = tmp_path / f"{NAME}.jsonl"
    content = path.read_bytes()
    for length in range(len(content) + 1):
        path.write_bytes(content[:length])
        # The last line may be whole but for its end.
        complete = content[:length].count(b"\n") + (content[length : length + 1] == b"\n")
        assert len(read_journals(tmp_path)) == complete
        if length % 16 == 0:
            write(tmp_path, {**MADE, "output": "after"})
            assert len(read_journals(tmp_path)) == complete + 1


@pytest.mark.parametrize(
    "line",
    [
        b"[]",
        b"3",
        b"{}",
        b'{"output": []}',
        b'{"output": [], "state": "made"}',
        b"\xff",
        b"[" * 50_000,
        *(
            b'{"output": "x", "state": "made", "signature": "s", "file": ' + stamp + b"}"
            for stamp in (
                b"[1e999, 1]",
                b"[1, Infinity]",
                b"[NaN, 1]",
                b"[true, 1]",
                b'["1", 1]',
                b"[1.5, 1]",
                b"null",
                b'"12"',
            )
        ),
        b'{"output": "x", "state": "made", "signature": 1e999, "file": [1, 2]}',
        b'{"output": {"x": 1}, "state": "started"}',
        b'{"output": "x", "output": "y", "state": "made", "signature": "s", "file": [1, 2]}',
    ],
)
def test_lines_of_another_kind_are_passed_over(tmp_path: Path, line: bytes) -> None:
    write(tmp_path, MADE)
    with (tmp_path / f"{NAME}.jsonl").open("ab") as file:
        file.write(line + b'\n{"output": "x", "state": "made", "file": [1]}\n')
    assert read_journals(tmp_path).keys() == {"a.png"}


def test_one_run_at_a_time_but_shards_together(tmp_path: Path) -> None:
    with Journal(tmp_path, WHOLE, []):
        for shard in (WHOLE, (1, 2)):
            with pytest.raises(PictureError, match="Another run"):
                Journal(tmp_path, shard, [])
    with Journal(tmp_path, (1, 2), []), Journal(tmp_path, (2, 2), []):
        for shard in (WHOLE, (1, 2)):
            with pytest.raises(PictureError, match="Another run"):
                Journal(tmp_path, shard, [])
    write(tmp_path)


def test_leftovers_go_unless_another_shard_is_at_work(tmp_path: Path) -> None:
    leftover = tmp_path / ".dualpix-00ff.partial"
    leftover.touch()
    with Journal(tmp_path, (1, 2), []):
        Journal(tmp_path, (2, 2), [tmp_path]).close()
        assert leftover.exists()
    Journal(tmp_path, (2, 2), [tmp_path]).close()
    assert not leftover.exists()


def test_a_folder_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file" / "out", Path("/proc/out")):
        with pytest.raises(PictureError, match=r"cannot be used: .*; choose another folder"):
            Journal(folder, WHOLE, [])


def test_a_line_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    """`/dev/full` is a disk that is full."""
    (tmp_path / "dualpix-journal.jsonl").symlink_to("/dev/full")
    with Journal(tmp_path, WHOLE, []) as journal, pytest.raises(JournalError, match="No space left"):
        journal.append({})
