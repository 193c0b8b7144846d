"""Ways to break a file, each a function of its bytes and of dice."""

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from random import Random

NUMBERS = (0, 1, 2, 3, 7, 16, 255, 256, 4097, 32767, 32768, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1)
HEAD = 600  # bytes in which most of what a file declares lies


def mutate(content: bytes, dice: Random) -> bytes:
    """The file after one to four breaks; mostly such that readers look further than at a length or a checksum."""
    if content.startswith(b"PK\3\4") and dice.random() < 0.8:
        return in_members(content, dice)
    if content[8:9] == b"{" and dice.random() < 0.8:
        return in_header(content, dice)
    content = broken(content, dice)
    if content.startswith(b"\x89PNG") and dice.random() < 0.8:
        content = with_checksums(content)
    return content


def broken(content: bytes, dice: Random) -> bytes:
    breaks = BREAKS + TEXT_BREAKS if content[:1] in (b"{", b'"') else BREAKS
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        content = dice.choice(breaks)(content, dice)
    return content


def in_members(content: bytes, dice: Random) -> bytes:
    """A zip of which one member is broken, with the right checksum."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w") as new:
        members = old.infolist()
        unlucky = dice.choice(members)
        for member in members:
            data = old.read(member)
            told = zipfile.ZipInfo(member.filename)  # else it would hold the time
            told.compress_type = member.compress_type
            new.writestr(told, broken(data[:HEAD], dice) + data[HEAD:] if member is unlucky else data)
    return out.getvalue()


def in_header(content: bytes, dice: Random) -> bytes:
    """A file of safetensors of which the description is broken, with the right length of it."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = broken(content[8:end], dice)
    return len(header).to_bytes(8, "little") + header + content[end:]


def _place(content: bytes, dice: Random) -> int:
    return dice.randrange(max(1, min(len(content), HEAD) if dice.random() < 0.7 else len(content)))


def flip(content: bytes, dice: Random) -> bytes:
    at = _place(content, dice)
    return content[:at] + bytes([content[at] ^ 1 << dice.randrange(8)]) + content[at + 1 :] if content else content


def set_byte(content: bytes, dice: Random) -> bytes:
    at = _place(content, dice)
    return content[:at] + bytes([dice.choice((0, 1, 255, dice.randrange(256)))]) + content[at + 1 :]


def set_number(content: bytes, dice: Random) -> bytes:
    at, size = _place(content, dice), dice.choice((2, 4, 8))
    number = dice.choice(NUMBERS) % 256**size
    return content[:at] + number.to_bytes(size, dice.choice(("little", "big"))) + content[at + size :]


def cut(content: bytes, dice: Random) -> bytes:
    return content[: dice.randrange(len(content) + 1)]


def drop(content: bytes, dice: Random) -> bytes:
    at = _place(content, dice)
    return content[:at] + content[at + dice.choice((1, 2, 3, 4, 12, 100)) :]


def insert(content: bytes, dice: Random) -> bytes:
    at = _place(content, dice)
    return content[:at] + dice.choice((bytes(3), dice.randbytes(8), b"\xff\xd9", b"9" * 40)) + content[at:]


def repeat(content: bytes, dice: Random) -> bytes:
    at, size, to = _place(content, dice), dice.choice((4, 12, 20, 60)), _place(content, dice)
    return content[:to] + content[at : at + size] + content[to:]


def copy(content: bytes, dice: Random) -> bytes:
    at, size, to = _place(content, dice), dice.choice((2, 4, 8, 12)), _place(content, dice)
    return content[:to] + content[at : at + size] + content[to + size :]


def clear(content: bytes, dice: Random) -> bytes:
    at, size = _place(content, dice), dice.choice((4, 12, 64, 1000))
    size = min(size, len(content) - at)
    return content[:at] + bytes(size) + content[at + size :]


def set_value(content: bytes, dice: Random) -> bytes:
    """Another value in the place of a number or a string of JSON, a quoted one included."""
    values = list(VALUE.finditer(content))
    if not values:
        return content
    found = dice.choice(values)
    return content[: found.start()] + dice.choice(VALUES) + content[found.end() :]


VALUE = re.compile(rb'\\?"[^"\\]*\\?"|-?\d+(\.\d+)?')
VALUES = (b"-1", b"0", b"1.5", b"1e999", b"NaN", b"123456789012345678901234567890", b"null", b"true", b"[]", b"{}",
          b'"x"', b'""', b'"../../x"', b'"/x"', b'"a\\u0000b"', b'"\\ud800"', b"[" * 50000, b'"' + b"k" * 70000 + b'"',
          b'\\"x\\"', b"[1, 2]", b'{"a": 1, "a": 2}')  # fmt: skip

TEXT_BREAKS: tuple[Callable[[bytes, Random], bytes], ...] = (set_value,) * 10
BREAKS: tuple[Callable[[bytes, Random], bytes], ...] = (
    flip, set_byte, set_number, set_number, cut, drop, insert, repeat, copy, clear,
)  # fmt: skip


def with_checksums(content: bytes) -> bytes:
    """A PNG with the right sum behind each chunk, as far as its lengths lead."""
    done, at = content[:8], 8
    while at + 12 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        if at + 12 + length > len(content):
            break
        body = content[at + 4 : at + 8 + length]
        done += content[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + length
    return done + content[at:]
