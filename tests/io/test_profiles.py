"""Profiles are told apart by their primaries and curve; profiles made by hand are the measure, not LittleCMS."""

import struct

import numpy as np
import pytest
from PIL import ImageCms

from dualpix.io.profiles import D65, SRGB_PRIMARIES, is_linear, is_srgb, make_profile

# Columns of red, green and blue in the connection space, from the specifications of sRGB and of Adobe RGB (1998).
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
ADOBE = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
STEPS = np.linspace(0, 1, 1024)
CURVE = np.where(STEPS <= 0.04045, STEPS / 12.92, ((STEPS + 0.055) / 1.055) ** 2.4)


def profile(words: str, columns: tuple, curve: np.ndarray | float) -> bytes:
    """A profile of version 2 with a matrix and one curve, byte by byte."""

    def s15(*values: float) -> bytes:
        return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))

    points = [round(curve * 256)] if isinstance(curve, float) else np.round(curve * 65535).astype(int)
    text = words.encode() + b"\0"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text)) + text + bytes(78),
        b"cprt": b"text" + bytes(4) + text,
        b"wtpt": b"XYZ " + bytes(4) + s15(0.9642, 1.0, 0.8249),
        b"rTRC": b"curv" + bytes(4) + struct.pack(f">I{len(points)}H", len(points), *points),
    }
    tags |= {tag: b"XYZ " + bytes(4) + s15(*xyz) for tag, xyz in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)}
    tags |= {b"gTRC": tags[b"rTRC"], b"bTRC": tags[b"rTRC"]}
    table, body, at = b"", b"", 132 + 12 * len(tags)
    for tag, value in tags.items():
        table += tag + struct.pack(">II", at + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    rest = bytes(4) + struct.pack(">I", 0x02100000) + b"mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28)
    rest += s15(0.9642, 1.0, 0.8249) + bytes(48)
    return struct.pack(">I", at + len(body)) + rest + struct.pack(">I", len(tags)) + table + body


@pytest.mark.parametrize(
    ("words", "columns", "curve", "same", "linear"),
    [
        ("sRGB", SRGB, CURVE, True, False),
        ("no word on it", SRGB, CURVE, True, False),
        ("sRGB but linear", SRGB, 1.0, False, True),
        ("sRGB with gamma 2.2", SRGB, 2.2, False, False),
        ("wider than sRGB", ADOBE, CURVE, False, False),
        ("Adobe RGB (1998)", ADOBE, 2.19921875, False, False),
    ],
)
def test_a_profile_is_known_by_its_numbers(words: str, columns: tuple, curve, same: bool, linear: bool) -> None:
    assert is_srgb(profile(words, columns, curve)) is same
    assert is_linear(profile(words, columns, curve)) is linear


def test_what_is_no_profile_is_not_srgb() -> None:
    whole = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert is_srgb(None)
    assert is_srgb(whole)
    for data in (b"sRGB", b"", whole[:200], whole[:300] + bytes(len(whole))):
        assert not is_srgb(data)
        assert not is_linear(data)


@pytest.mark.parametrize("grey", [False, True])
def test_a_made_profile_means_what_it_was_made_for(grey: bool) -> None:
    made = make_profile(D65, SRGB_PRIMARIES, CURVE, grey)
    assert made == make_profile(D65, SRGB_PRIMARIES, CURVE, grey)
    assert made[16:20] == (b"GRAY" if grey else b"RGB ")
    assert is_srgb(made)
    assert is_linear(make_profile(D65, SRGB_PRIMARIES, 1.0, grey))
    assert make_profile(D65, (0.0,) * 6, 1.0, False) is None
