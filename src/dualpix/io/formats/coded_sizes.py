"""The size that pictures coded by AV1 or HEVC state in their own bit stream, which decoders trust more than the file's.

AV1 Bitstream & Decoding Process Specification, 5.3 to 5.5; ITU-T H.265, 7.3.1 to 7.3.3.
"""

from collections.abc import Iterator

from dualpix.io.formats.isobmff_index import Item

MOST_UNITS = 65536
"""The most parts of a coded picture that are looked at; cameras write only a few."""
LONGEST_DESCRIPTION = 512
SEQUENCE_HEADER, SEQUENCE_PARAMETERS = 1, 33
GENERAL_PROFILE, SUB_LAYER_PROFILE, LEVEL = 88, 88, 8

Size = tuple[int, int]


def coded_sizes(item: Item, data: bytes) -> Iterator[Size]:
    """Width and height in pixels, as often as the item's properties and its coded `data` state them.

    Raises:
        ValueError: The data are damaged, too long, or coded in another way; IndexError and TypeError may be raised too.
    """
    for kind, body in item.properties:
        if kind == b"av1C" and item.kind == b"av01":
            for content in (body[4:], data):
                yield from _told_by_av1(content)
        if kind == b"hvcC" and item.kind == b"hvc1":
            yield from (_size_of_hevc(unit) for unit in _listed(body) if _is_description(unit))
            yield from (_size_of_hevc(unit) for unit in _units(data, (body[21] & 3) + 1) if _is_description(unit))


class _Bits:
    """Reads numbers of a given number of bits, one after the other, highest bit first."""

    def __init__(self, data: bytes) -> None:
        self.bits, self.left = int.from_bytes(data, "big"), 8 * len(data)

    def take(self, count: int) -> int:
        self.left -= count
        if self.left < 0:
            raise ValueError("cut short")
        return self.bits >> self.left & (1 << count) - 1

    def exponential(self) -> int:
        """A number in Exponential-Golomb code: as many bits follow the first 1 as there are zeros before it."""
        zeros = 0
        while not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)


def _told_by_av1(data: bytes) -> Iterator[Size]:
    at = 0
    for _ in range(MOST_UNITS):
        if at >= len(data):
            return
        head = data[at]
        at += 2 if head & 4 else 1
        length, shift = len(data) - at, 0
        if head & 2:
            length = 0
            while True:
                byte, at = data[at], at + 1
                length |= (byte & 127) << shift
                shift += 7
                if byte < 128 or shift > 56:
                    break
        if head >> 3 & 15 == SEQUENCE_HEADER:
            yield _size_of_av1(_Bits(data[at : at + min(length, LONGEST_DESCRIPTION)]))
        at += length
    raise ValueError("too many parts")


def _size_of_av1(bits: _Bits) -> Size:
    """Width and height from a sequence header, read from its beginning (5.5.1)."""
    bits.take(4)
    if bits.take(1):  # reduced, for a still picture
        bits.take(5)
    else:
        has_model = False
        if bits.take(1):
            bits.take(64)
            if bits.take(1):
                bits.exponential()
            if has_model := bool(bits.take(1)):
                delay_bits = bits.take(5) + 1
                bits.take(42)
        has_delay = bits.take(1)
        for _ in range(bits.take(5) + 1):
            bits.take(12)
            if bits.take(5) > 7:
                bits.take(1)
            if has_model and bits.take(1):
                bits.take(2 * delay_bits + 1)
            if has_delay and bits.take(1):
                bits.take(4)
    widths = bits.take(4) + 1, bits.take(4) + 1
    return bits.take(widths[0]) + 1, bits.take(widths[1]) + 1


def _listed(body: bytes) -> Iterator[bytes]:
    """The NAL units in a decoder configuration record (hvcC)."""
    at = 23
    for _ in range(body[22]):
        count, at = int.from_bytes(body[at + 1 : at + 3], "big"), at + 3
        for _ in range(count):
            if at >= len(body):
                raise ValueError("cut short")
            length = int.from_bytes(body[at : at + 2], "big")
            yield body[at + 2 : at + 2 + length]
            at += 2 + length


def _units(data: bytes, wide: int) -> Iterator[bytes]:
    """The beginnings of the NAL units of a coded picture, each of which follows its length in `wide` bytes."""
    at = 0
    for _ in range(MOST_UNITS):
        if at >= len(data):
            return
        length, at = int.from_bytes(data[at : at + wide], "big"), at + wide
        yield data[at : at + min(length, LONGEST_DESCRIPTION)]
        at += length
    raise ValueError("too many parts")


def _is_description(unit: bytes) -> bool:
    return len(unit) > 2 and unit[0] >> 1 & 63 == SEQUENCE_PARAMETERS and not unit[0] & 1 and not unit[1] >> 3


def _size_of_hevc(unit: bytes) -> Size:
    """Width and height from a sequence parameter set (7.3.2.2), before the margins at the sides are cropped."""
    bits = _Bits(unit[2:LONGEST_DESCRIPTION].replace(b"\0\0\3", b"\0\0"))
    bits.take(4)
    layers = bits.take(3)
    bits.take(1 + GENERAL_PROFILE + LEVEL)
    told = [(bits.take(1), bits.take(1)) for _ in range(layers)]
    bits.take(2 * (8 - layers) if layers else 0)
    for has_profile, has_level in told:
        bits.take(SUB_LAYER_PROFILE * has_profile + LEVEL * has_level)
    bits.exponential()
    if bits.exponential() == 3:
        bits.take(1)
    return bits.exponential(), bits.exponential()
