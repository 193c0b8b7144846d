"""What pictures coded by AV1 and by HEVC say of their own size: decoders believe that, and not the file around them.

AV1 Bitstream & Decoding Process Specification, 5.3 to 5.5; ITU-T H.265, 7.3.1 to 7.3.3.
"""

from collections.abc import Iterator

from dualpix.io.formats.isobmff_index import Item

MOST_UNITS = 65536
"""So many parts of a coded picture are looked at; cameras make a few."""
LONGEST_DESCRIPTION = 512
SEQUENCE_HEADER, SEQUENCE_PARAMETERS = 1, 33
GENERAL_PROFILE, SUB_LAYER_PROFILE, LEVEL = 88, 88, 8

Size = tuple[int, int]


def coded_sizes(item: Item, data: bytes) -> Iterator[Size]:
    """Width and height as often as they are told, by an item that is coded as `data`.

    Raises ValueError, IndexError or TypeError for what is damaged, too long, or coded in another way.
    """
    for kind, body in item.properties:
        if kind == b"av1C" and item.kind == b"av01":
            for content in (body[4:], data):
                yield from _told_by_av1(content)
        if kind == b"hvcC" and item.kind == b"hvc1":
            yield from (_size_of_hevc(unit) for unit in _listed(body) if _is_description(unit))
            yield from (_size_of_hevc(unit) for unit in _units(data, (body[21] & 3) + 1) if _is_description(unit))


class _Bits:
    """Numbers of so many bits, one behind the other."""

    def __init__(self, data: bytes) -> None:
        self.bits, self.left = int.from_bytes(data, "big"), 8 * len(data)

    def take(self, count: int) -> int:
        self.left -= count
        if self.left < 0:
            raise ValueError("cut short")
        return self.bits >> self.left & (1 << count) - 1

    def exponential(self) -> int:
        """By Exponential-Golomb codes: as many zeros as bits follow the first one."""
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
    """Of a sequence header, from its begin (5.5.1)."""
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
    """The units in a record of the decoder's configuration."""
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
    """What a coded picture is made of, each behind its length in so many bytes; of each its begin."""
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
    """Of a sequence parameter set (7.3.2.2), with what is cut off at the right and below."""
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
