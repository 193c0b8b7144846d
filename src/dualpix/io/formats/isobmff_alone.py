"""Cut an AVIF or HEIF file down to its picture, so that metadata, previews and rotations never reach a decoder.

None of these is needed for the pixels, and damaged ones have crashed whole processes (pi-heif 1.4.0, on EXIF with an
offset outside of the file).
"""

import struct

from dualpix.io.formats.isobmff_index import Index, Item, alphas_of, content_of, parts_of

OF_PIXELS = frozenset({b"av1C", b"hvcC", b"ispe", b"pixi", b"auxC", b"clap"})
PLACE = struct.calcsize(">HHHII")


def alone(data: bytes, index: Index) -> bytes:
    """A file that holds only the picture, its alpha channel, and the tiles of both.

    Args:
        data: The whole file.
        index: Its index.

    Raises:
        ValueError: There are too many tiles.
    """
    roots = [index.picture, *alphas_of(index)]
    items = [part for root in roots for part in parts_of(index, root)]
    number_of = {id(item): number for number, item in enumerate(items, 1)}
    contents = [content_of(data, item) for item in items]
    listed = [_full(b"infe", 2, int(number > 1), struct.pack(">HH", number, 0), item.kind, b"\0")
              for number, item in enumerate(items, 1)]  # fmt: skip
    tiled = [(number_of[id(root)], [number_of[id(part)] for part in parts_of(index, root)[1:]]) for root in roots]
    uses = [_box(b"dimg", _numbers(number, len(tiles), *tiles)) for number, tiles in tiled if tiles]
    uses += [_box(b"auxl", _numbers(number_of[id(alpha)], 1, 1)) for alpha in roots[1:]]
    meta = (
        _full(b"hdlr", 0, 0, bytes(4), b"pict", bytes(13)),
        _full(b"pitm", 0, 0, _numbers(1)),
        _full(b"iinf", 0, 0, _numbers(len(items)), *listed),
        _full(b"iref", 0, 0, *uses),
        _properties(items),
    )
    start = _box(b"ftyp", b"heic", bytes(4), b"mif1heic")
    head = 8 + 4 + sum(map(len, meta)) + 8 + 4 + 4 + PLACE * len(items)
    at, places = len(start) + head + 8, []
    for number, content in enumerate(contents, 1):
        places.append(struct.pack(">HHHII", number, 0, 1, at, len(content)))
        at += len(content)
    located = _full(b"iloc", 0, 0, _numbers(0x4400, len(items)), *places)
    return start + _full(b"meta", 0, 0, *meta, located) + _box(b"mdat", *contents)


def _properties(items: list[Item]) -> bytes:
    """The properties needed for decoding, each stored once; of colours only code points (nclx): they define YCbCr."""
    known: dict[tuple[bytes, bytes], int] = {}
    owners = []
    for number, item in enumerate(items, 1):
        kept = [one for one in item.properties if one[0] in OF_PIXELS or (one[0] == b"colr" and one[1][:4] == b"nclx")]
        places = [known.setdefault(one, len(known) + 1) for one in kept]
        owners.append(struct.pack(f">HB{len(places)}H", number, len(places), *places))
    boxes = (_box(kind, body) for kind, body in known)
    return _box(b"iprp", _box(b"ipco", *boxes), _full(b"ipma", 0, 1, struct.pack(">I", len(owners)), *owners))


def _numbers(*numbers: int) -> bytes:
    return struct.pack(f">{len(numbers)}H", *numbers)


def _box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _full(kind: bytes, version: int, flags: int, *content: bytes) -> bytes:
    return _box(kind, struct.pack(">I", version << 24 | flags), *content)
