"""Ways to break a file, each a function of its bytes and of dice."""

import struct
import zlib
from collections.abc import Callable
from random import Random

NUMBERS = (0, 1, 2, 3, 7, 16, 255, 256, 4097, 32767, 32768, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1)
HEAD = 600  # bytes in which most of what a file declares lies


def mutate(content: bytes, dice: Random) -> bytes:
    """The file after one to four breaks; a PNG mostly gets right checksums again, so that readers look further."""
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        content = dice.choice(BREAKS)(content, dice)
    if content.startswith(b"\x89PNG") and dice.random() < 0.8:
        content = with_checksums(content)
    return content


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
