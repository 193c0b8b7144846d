"""A manifest says what belongs together, and can lead nowhere else."""

import json
import random
from pathlib import Path

import pytest

from dualpix.errors import PairError
from dualpix.inference.batch.jobs import list_jobs
from dualpix.inference.batch.manifest import LONGEST_LINE, read_manifest


def manifest(folder: Path, *lines: object) -> Path:
    path = folder / "pairs.jsonl"
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def test_lines_become_pairs_with_places(tmp_path: Path) -> None:
    path = manifest(
        tmp_path,
        {"left": "x/a_L.png", "right": "y/b.png"},
        "",
        {"left": "a.tif", "right": "b.tif", "output": "deep/sharp ü.jxl"},
        {"left": "a.CR3", "right": None, "output": "plain"},
    )
    found = read_manifest(path)
    assert [(str(one.place), one.suffix) for one in found] == [("x/a", ""), ("deep/sharp ü", ".jxl"), ("plain", "")]
    assert [(one.left, one.right) for one in found] == [
        (tmp_path / "x/a_L.png", tmp_path / "y/b.png"),
        (tmp_path / "a.tif", tmp_path / "b.tif"),
        (tmp_path / "a.CR3", None),
    ]


@pytest.mark.parametrize("outside", ["../a.png", "/etc/a.png", "x/../../a.png", "link/a.png"])
def test_paths_that_lead_outside_are_refused(tmp_path: Path, outside: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path)
    path = manifest(tmp_path / "in", {"left": outside, "right": "b.png", "output": "o.png"})
    with pytest.raises(PairError, match=r"line 1: .* outside .*allow_outside=True"):
        read_manifest(path)
    assert read_manifest(path, allow_outside=True)[0].left == tmp_path / "in" / outside
    if outside != "link/a.png":
        path = manifest(tmp_path / "in", {"left": "a.png", "right": "b.png", "output": outside})
        with pytest.raises(PairError, match="must be a name inside the output folder"):
            read_manifest(path, allow_outside=True)


@pytest.mark.parametrize(
    "line",
    [
        "left, right",
        "[]",
        '{"left": 3}',
        '{"right": "a.png"}',
        '{"left": ""}',
        '{"left": "a\\u0000.png"}',
        '{"left": "\\ud800"}',
        '{"left": "a.png", "weights": "w"}',
        '{"left": "a.png", "output": "."}',
        "[" * 60_000,
        '{"left": "' + "x" * LONGEST_LINE + '"}',
        '{"left": "."}',
        '{"left": "x/.."}',
        '{"left": "..png"}',
        '{"left": "x/..png"}',
        '{"left": "._L.png"}',
        '{"left": "...png"}',
        '{"left": "a.png", "output": "..png"}',
        '{"left": "a.png", "output": "x/..png"}',
        '{"left": "a.png", "output": "...png"}',
        '{"left": "a.png", "output": "."}',
        '{"left": "a.png", "left": "b.png"}',
        '{"left": "a.png", "right": 1e999}',
    ],
    ids=lambda line: line[:20],
)
def test_bad_lines_are_told_by_number(tmp_path: Path, line: str) -> None:
    with pytest.raises(PairError, match="line 2"):
        read_manifest(manifest(tmp_path, {"left": "a.png", "right": "b.png"}, line))


def test_a_name_that_is_none_is_told_where_all_is_allowed(tmp_path: Path) -> None:
    """Fault 79."""
    for left in ("/", "..", "../..", "/.."):
        with pytest.raises(PairError, match="line 1"):
            read_manifest(manifest(tmp_path, {"left": left}), allow_outside=True)


def test_an_empty_or_missing_manifest_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PairError, match="lists no pairs"):
        read_manifest(manifest(tmp_path, "", ""))
    with pytest.raises(PairError, match="cannot be opened"):
        read_manifest(tmp_path / "none.jsonl")


@pytest.mark.parametrize(
    ("name", "whole", "cut"), [("list.jsonl", '{{"left": "{}.png"}}', '{{"le'), ("list.csv", "{}.png", '"{}')]
)
def test_a_tenth_of_damaged_lines_is_one_sentence_with_the_first_and_their_number(
    tmp_path: Path, name: str, whole: str, cut: str
) -> None:
    lines = [(whole if number % 10 else cut).format(number) for number in range(3, 103)]
    (tmp_path / name).write_text("\n".join(lines))
    with pytest.raises(PairError, match=rf"^\S*{name}, line 8 is .*\. In all 10 of 100 lines are like that\.$"):
        list_jobs(tmp_path / name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_damaged_manifests_give_only_our_errors(tmp_path: Path) -> None:
    whole = manifest(tmp_path, *({"left": f"{n}_L.png", "right": f"é{n}.png", "output": f"{n}"} for n in range(3)))
    content, dice = whole.read_bytes(), random.Random(0)
    refused = 0
    for _ in range(2000):
        damaged = bytearray(content)
        for _ in range(dice.randint(1, 3)):
            damaged[dice.randrange(len(damaged))] = dice.randrange(256)
        whole.write_bytes(damaged[: dice.choice([len(damaged), dice.randrange(len(damaged))])])
        try:
            read_manifest(whole)
        except PairError:
            refused += 1
    assert 500 < refused < 2000


@pytest.mark.parametrize(
    "text",
    [
        "left,right,output\na.png,b.png,x/c.png\nd.png,e.png\n",
        "\ufeffLeft;Right;Output\r\na.png;b.png;x/c.png\r\nd.png;e.png;\r\n",
        "right\tleft\toutput\nb.png\ta.png\tx/c.png\ne.png\td.png\n",
        "a.png,b.png,x/c.png\nd.png,e.png\n",
        '"a.png", "b.png", "x/c.png"\n\n"d.png", "e.png"\n',
    ],
)
def test_a_csv_file_is_a_manifest_too(tmp_path: Path, text: str) -> None:
    """As spreadsheets of different countries write it."""
    path = tmp_path / "list.csv"
    path.write_text(text, encoding="utf-8")
    first, second = read_manifest(path)
    assert (first.left.name, first.right and first.right.name, str(first.place)) == ("a.png", "b.png", "x/c")
    assert (second.left.name, second.right and second.right.name, second.suffix) == ("d.png", "e.png", "")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "lists no pairs"),
        ("left,right\n", "lists no pairs"),
        ("left,right\na,b,c\n", "line 2 has 3 columns"),
        ('a.png,"b\n', "line 1 is not a row"),
        ("left,right\n../a.png,b.png\n", "outside"),
        ("left,left\na.png,b.png\n", "line 1 has the column 'left', twice"),
        ("left,right,blur\na.png,b.png,3\n", "line 1 has the column 'blur'"),
        ("left,right\na.png,b.png\n,c.png\n", "line 3 has no left view"),
        ("left,right\na.png,b.png\n".encode("utf-16"), "is a text in UTF-16"),
    ],
)
def test_a_csv_file_that_is_wrong_is_one_sentence(tmp_path: Path, text: str | bytes, says: str) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(PairError, match=rf"^.*list\.csv.*{says}.*\.$"):
        read_manifest(path)
