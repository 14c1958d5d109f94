"""OME-XML, the metadata inside OME-TIFFs and in their companion files, read with distrust.

https://docs.openmicroscopy.org/ome-model/6.3.1/ome-tiff/specification.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from math import isclose, isfinite
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from platemae.errors import InputError
from platemae.readers.xml import attribute, children, text
from platemae.wells import join_well

MAX_PLANES = 1_000_000
"""Planes of one file; more are a false size."""

# Both signs of micro are in use: U+00B5 and U+03BC.
MICROMETRES = {"m": 1e6, "cm": 1e4, "mm": 1e3, "\u00b5m": 1.0, "\u03bcm": 1.0, "um": 1.0, "nm": 1e-3, "\u00c5": 1e-4}


@dataclass(frozen=True)
class OmePlane:
    """Where a plane lies: name of its file as written, empty for the file that holds the XML, and page in it."""

    c: int
    z: int
    t: int
    file: str
    page: int


@dataclass(frozen=True)
class OmeImage:
    """An image (series) of a file.

    Parameters
    ----------
    id
        Its ID in the XML.
    channels
        Names, each different.
    pixel_size_um
        Edge of a pixel in micrometres, where stated.
    yx_um
        Stage position of its first plane, where stated with a unit of length.
    planes
        In the order of the XML.
    n_planes
        How many the sizes of its dimensions say.
    """

    id: str
    channels: tuple[str, ...]
    pixel_size_um: float | None
    yx_um: tuple[float, float] | None
    planes: tuple[OmePlane, ...]
    n_planes: int


@dataclass(frozen=True)
class WellSample:
    """Where the plate section puts an image: well, place among the plate's samples, position in the well."""

    well: str
    index: int
    yx_um: tuple[float, float] | None


@dataclass(frozen=True)
class Ome:
    """What an OME-XML says: its images, and by image ID the sample of the plate section, where there is one."""

    images: tuple[OmeImage, ...]
    samples: Mapping[str, WellSample]


def parse_ome(data: bytes, where: str) -> Ome | None:
    """Return what OME-XML says; None when ``data`` is none.

    Raises
    ------
    InputError
        When it declares entities, is cut short, or makes no sense: sizes, units, wells, colour images.
    """
    if b"OME" not in data[:4096] or not data.lstrip(b"\xef\xbb\xbf \r\n\t").startswith(b"<"):
        return None
    remedy = "export the image again as OME-TIFF"
    try:
        root: Element = fromstring(data, forbid_dtd=True)
        samples = dict(_samples(root))
        uuid = attribute(root, "UUID") or ""
        images, left = [], MAX_PLANES
        for image in children(root, "Image"):
            images.append(_image(image, uuid, left))
            left -= images[-1].n_planes
        return Ome(tuple(images), samples)
    except DefusedXmlException as error:
        what = f"OME-XML declares entities, which no instrument does: {type(error).__name__}"
        raise InputError(what, where, remedy) from None
    except (ParseError, ValueError, LookupError, OverflowError) as error:
        raise InputError(f"OME-XML cannot be understood: {error}"[:500], where, remedy) from None


def _samples(root: Element) -> Iterator[tuple[str, WellSample]]:
    for plate in children(root, "Plate"):
        for well in children(plate, "Well"):
            # Rows and columns count from 0 here, whatever the plate's naming convention shows.
            name = join_well(str(_count(well, "Row") + 1), str(_count(well, "Column") + 1))
            for order, sample in enumerate(children(well, "WellSample")):
                for reference in children(sample, "ImageRef"):
                    index = _count(sample, "Index", order)
                    yield attribute(reference, "ID") or "", WellSample(name, index, _position(sample))


def _image(image: Element, uuid: str, most: int) -> OmeImage:
    pixels = next(children(image, "Pixels"), None)
    if pixels is None:
        raise ValueError("an Image has no Pixels")
    sizes = {axis: _count(pixels, f"Size{axis}", 1) for axis in "CZT"}
    n_planes = sizes["C"] * sizes["Z"] * sizes["T"]
    if not 0 < n_planes <= most:
        raise ValueError(f"an image claims {n_planes} planes")
    blocks = _bounded([_block(block, pixels, sizes, uuid) for block in children(pixels, "TiffData")])
    if sum(block.count for block in blocks) > n_planes:
        raise ValueError(f"more planes are listed than the {n_planes} of the image")
    planes = tuple(plane for block in blocks for plane in _planes(block))
    position = next((_position(plane) for plane in children(pixels, "Plane")), None)
    return OmeImage(
        attribute(image, "ID") or "", _channels(pixels, sizes["C"]), _pixel_size(pixels), position, planes, n_planes
    )


@dataclass(frozen=True)
class _Block:
    """A TiffData block: ``count`` planes from ``first`` on (fastest dimension first), in pages from ``page`` on.

    ``is_open`` says that it does not state its count: it takes what its file has pages for.
    """

    axes: tuple[tuple[str, int], ...]
    first: int
    count: int
    file: str
    page: int
    is_open: bool


def _block(block: Element, pixels: Element, sizes: Mapping[str, int], uuid: str) -> _Block:
    order = (attribute(pixels, "DimensionOrder") or "XYCZT")[2:]
    if sorted(order) != ["C", "T", "Z"]:
        raise ValueError(f"DimensionOrder {order[:20]!r}")
    first, step = 0, 1
    for axis in order:
        first += _count(block, f"First{axis}", 0) * step
        step *= sizes[axis]
    count = _count(block, "PlaneCount", 1 if attribute(block, "IFD") else max(step - first, 0))
    if first + count > step:
        raise ValueError(f"TiffData names planes {first} to {first + count - 1} of {step}")
    reference = next(children(block, "UUID"), None)
    file = attribute(reference, "FileName") or "" if reference is not None else ""
    if uuid and text(block, "UUID") == uuid:  # the file itself, whatever it was called when it was written
        file = ""
    is_open = attribute(block, "PlaneCount") is None and not attribute(block, "IFD")
    return _Block(tuple((axis, sizes[axis]) for axis in order), first, count, file, _count(block, "IFD", 0), is_open)


def _bounded(blocks: list[_Block]) -> list[_Block]:
    """Return the blocks, those without a count up to the next one: the pages of other files are not known here."""
    firsts = sorted({block.first for block in blocks})
    following = dict(pairwise(firsts))
    return [
        replace(block, count=min(block.count, following.get(block.first, block.first + block.count) - block.first))
        if block.is_open
        else block
        for block in blocks
    ]


def _planes(block: _Block) -> Iterator[OmePlane]:
    for number in range(block.count):
        at, rest = {}, block.first + number
        for axis, size in block.axes:
            rest, at[axis] = divmod(rest, size)
        yield OmePlane(at["C"], at["Z"], at["T"], block.file, block.page + number)


def _channels(pixels: Element, n: int) -> tuple[str, ...]:
    """Return a name for each channel: its own, else its dye, else its number; different ones."""
    found = list(children(pixels, "Channel"))
    if any((attribute(channel, "SamplesPerPixel") or "1") != "1" for channel in found):
        raise ValueError("it is a colour image; write grey images, one channel a plane")
    if found and len(found) != n:
        raise ValueError(f"{len(found)} channels are described, SizeC is {n}")
    names = [attribute(c, "Name") or attribute(c, "Fluor") or str(i) for i, c in enumerate(found)]
    names = names or [str(i) for i in range(n)]
    return tuple(name if names.count(name) == 1 else f"{name}-{i}" for i, name in enumerate(names))


def _pixel_size(pixels: Element) -> float | None:
    x, y = (_length(pixels, f"PhysicalSize{axis}", "\u00b5m") for axis in "XY")
    if x is None and y is None:
        return None
    if x is None or y is None or not 0 < x < 1e6 or not isclose(x, y, rel_tol=1e-3):
        raise ValueError(f"a pixel of {y} x {x} micrometres is no square")
    return x


def _position(element: Element) -> tuple[float, float] | None:
    y, x = (_length(element, f"Position{axis}", "reference frame") for axis in "YX")
    return None if y is None or x is None else (y, x)


def _length(element: Element, name: str, unit: str) -> float | None:
    """Return an attribute in micrometres; None where it is not given, or in no unit of length."""
    written, factor = attribute(element, name), MICROMETRES.get(attribute(element, f"{name}Unit") or unit)
    value = float(written) * factor if written and factor else None
    return value if value is not None and isfinite(value) else None


def _count(element: Element, name: str, otherwise: int | None = None) -> int:
    written = attribute(element, name)
    if written is None and otherwise is not None:
        return otherwise
    if written is None or not written.isdecimal() or len(written) > 9:
        raise ValueError(f"{name} is {(written or 'missing')[:50]!r}")
    return int(written)
