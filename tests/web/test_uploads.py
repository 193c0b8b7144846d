"""Uploads as they arrive: whole or not at all, and spoken of as their owner calls them."""

import logging
import re

import pytest
from asking import KIND, Client, multipart, pair_of, picture, png

NAMES = {"left": "C:\\Holiday\\grand canyon (1).jpg", "right": "../left.png.tif"}


@pytest.mark.parametrize("cut", ["in the head", "in the data", "before the last line", "in the last line"])
@pytest.mark.parametrize("is_chunked", [True, False])
def test_a_body_that_ends_inside_a_part(client: Client, pair: dict[str, bytes], cut: str, is_chunked: bool) -> None:
    """HTTP's own end came, and that of the upload did not: a view is missing, or cut."""
    body = multipart(pair)
    part = body.rindex(b"Content-Disposition")
    length = {"in the head": part + 20, "in the data": part + 200, "before the last line": body.rindex(b"\r\n--"),
              "in the last line": len(body) - 4}[cut]  # fmt: skip
    assert client.jobs is not None
    before = sorted(client.jobs.root.iterdir())
    sent = iter([body[:length]]) if is_chunked else body[:length]
    reply = client.ask("POST", "/api/jobs", sent, content_type=KIND)
    assert reply.status == 400 and "incomplete" in reply.error
    assert sorted(client.jobs.root.iterdir()) == before


def test_damage_is_told_to_the_sender_alone(
    client: Client, pair: dict[str, bytes], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])  # as in a server, which has none of pytest's
    body = multipart(pair).replace(b"--", b"++", 1)
    assert client.ask("POST", "/api/jobs", body, content_type=KIND).status == 400
    assert capfd.readouterr() == ("", "")


def test_an_empty_file_is_called_by_its_name(client: Client, pair: dict[str, bytes]) -> None:
    reply = client.upload({"left": pair["left"], "right": b""}, NAMES)
    assert reply.status == 400 and "empty: left.png.tif;" in reply.error and "field" not in reply.error


def cases() -> dict[str, tuple[dict[str, bytes | str], int]]:
    """Uploads that are refused, and how many of their names the sentence must give."""
    good = pair_of(96, 96)
    return {
        "text": ({**good, "left": b"dear diary"}, 1),
        "cut": ({**good, "right": good["right"][:-300]}, 1),
        "sizes": ({**good, "right": png(picture(40, 40))}, 2),
        "the same": ({**good, "right": good["left"]}, 2),
        "alone": ({"left": good["left"]}, 1),
        "no raw": ({"left": b"II*\0\x10\0\0\0CR\2\0" + bytes(100)}, 1),
        "no arrays": ({"left": b"PK\3\4" + bytes(100)}, 1),
        "wrong layout": ({"left": png(picture(33, 33)), "layout": "side-by-side"}, 1),
        "large": ({**good, "left": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (60000).to_bytes(4, "big") * 2 + bytes(9)}, 1),
        "pixel": ({"left": b"P5 4 4 65535\n" + bytes(32)}, 1),
    }


@pytest.mark.parametrize("name", cases())
def test_sentences_are_about_the_users_own_files(client: Client, name: str) -> None:
    """No names of ours, no fields, commands or arguments, and no rows of a sensor."""
    fields, named = cases()[name]
    told = client.done(fields, NAMES)
    assert told["state"] == "failed", told
    sentence = told["error"]
    assert sum(own in sentence for own in ("grand canyon (1).jpg", "left.png.tif")) == named, sentence
    plain = sentence.replace("left.png.tif", "")
    assert not re.search(r"left\.|right\.|view_left|/|--|\bfield|dualpix|sensor|layout|[a-z]_[a-z]+=?|Error", plain), (
        plain
    )


def test_notes_are_about_the_users_own_files(client: Client) -> None:
    """The views the wrong way round, and one much darker: what the check finds is told in the page's words."""
    wide = picture(160, 320)
    told = client.done({"left": png(wide[:, :-6]), "right": png(wide[:, 6:] // 2), "start": "no"}, NAMES)
    assert told["state"] == "ready" and told["check"]["name"] == "grand canyon (1)"
    sentences = [*told["notes"], *told["check"]["odd"].values(), told["check"]["verdict"]]
    assert told["check"]["odd"]
    for sentence in sentences:
        assert not re.search(r"view_left|--|\bfield\b|dualpix|sensor|layout|[a-z]_[a-z]+=?", sentence), sentence
