"""What the docs say of the formats of picture files is what their records say."""

import re
from pathlib import Path

from dualpix.cli.deblur import deblur
from dualpix.io.formats import FORMATS, OUTPUTS, any_of, format_of, names_of_formats

ROW = re.compile(r"^\| (?P<name>[^|]+) \| (?P<read>[^|]+) \| (?P<written>[^|]+) \| (?P<bits>[^|]+) \|", re.MULTILINE)
PAGE = (Path(__file__).parents[2] / "docs" / "pictures.md").read_text()


def test_the_table_of_the_docs_says_what_the_records_say() -> None:
    table = {row["name"].removesuffix(" (HEIC)"): row for row in ROW.finditer(PAGE) if row["name"] != "format"}
    assert list(table) == [", ".join(kind.names) for kind in FORMATS.values()]
    for kind, row in zip(FORMATS.values(), table.values(), strict=True):
        assert row["read"].replace(" (HEIC)", "") == kind.about.replace(" (HEIC)", "")
        assert tuple(map(int, re.findall(r"\d+", row["bits"]))) == kind.bits
        assert re.findall(r"`(\.\w+)`", row["written"]) == [end for output in kind.outputs for end in output.endings]
        assert all(output.about in row["written"] for output in kind.outputs)


def test_the_help_and_the_first_page_of_the_docs_name_all_formats() -> None:
    told = " ".join((deblur.__doc__ or "").split())
    assert f"Views are {names_of_formats()} files" in told
    start = (Path(__file__).parents[2] / "docs" / "start.md").read_text()
    assert f"**Files**: {names_of_formats().replace(' or ', ' and ')}, " in start


def test_no_two_formats_claim_the_same_file() -> None:
    endings = [ending for kind in FORMATS.values() for ending in kind.endings]
    assert len(set(endings)) == len(endings) and set(OUTPUTS) <= set(endings)
    assert format_of(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf") is FORMATS["AVIF"]
    assert format_of(b"\0\0\0\x18ftypcrx \0\0\0\1crx isom") is format_of(b"dear diary") is None
    assert [any_of(words) for words in (["A"], ["A", "B"], ["A", "B", "C"])] == ["A", "A or B", "A, B or C"]
