"""Size and number of components that the header of an encoded image claims, before a decoder allocates anything."""

from __future__ import annotations

import struct
from dataclasses import dataclass

_PNG_COMPONENTS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
"""Colour type of PNG -> components; a palette is colours."""

_JPEG_SIZES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
"""Markers SOF0 to SOF15: start of a frame, with its size."""


@dataclass(frozen=True)
class Header:
    """What an image claims to be; ``is_complete`` is False where its end is known to be missing."""

    width: int
    height: int
    components: int
    is_complete: bool = True


def read_header(kind: str, data: bytes) -> Header:
    """Return what the header of a ``png``, ``jpeg`` or ``jpeg2k`` claims.

    Raises
    ------
    ValueError
        When there is no such header.
    """
    try:
        return {"png": _png, "jpeg": _jpeg, "jpeg2k": _jpeg2k}[kind](data)
    except (struct.error, IndexError):
        raise ValueError("its header is cut short") from None


def _png(data: bytes) -> Header:
    width, height, _, colour = struct.unpack_from(">IIBB", data, 16)
    return Header(width, height, _PNG_COMPONENTS.get(colour, 0))


def _jpeg(data: bytes) -> Header:
    """Walk the segments up to the first scan; decoders fill what a cut file lacks with grey, so the end counts."""
    at, header = 2, None
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker in _JPEG_SIZES:
            height, width, components = struct.unpack_from(">HHB", data, at + 5)
            header = Header(width, height, components)
        if marker == 0xDA:
            break
        at += 2 + max(2, *struct.unpack_from(">H", data, at + 2))
    if header is None:
        raise ValueError("it states no size")
    # Within a scan the byte FF is always followed by 00, so that FF D9 is the end and nothing else.
    return Header(header.width, header.height, header.components, data.find(b"\xff\xd9", at) >= 0)


def _jpeg2k(data: bytes) -> Header:
    """Read the marker SIZ, which must follow that of the start of the codestream (ISO 15444-1, A.5.1)."""
    start = data.find(b"\xff\x4f\xff\x51")
    if start < 0:
        raise ValueError("it holds no codestream")
    right, lower, left, upper = struct.unpack_from(">IIII", data, start + 8)
    (components,) = struct.unpack_from(">H", data, start + 40)
    return Header(right - left, lower - upper, components)
