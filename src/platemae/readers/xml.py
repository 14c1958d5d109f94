"""XML of instruments, read with distrust: no entities, no external files, no surprise at name spaces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from platemae.errors import InputError, MissingError

MAX_BYTES = 2**30
"""Largest metadata file: a million images take 700 bytes each."""


def read_xml(path: Path) -> Element:
    """Return the root element of an XML file.

    Raises
    ------
    MissingError
        When there is no such file.
    InputError
        When it is no XML, cut short, too large, or declares entities.
    """
    remedy = "copy it again from the instrument"
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"a metadata file is larger than {MAX_BYTES >> 20} MiB", str(path), remedy)
        root: Element = fromstring(path.read_bytes(), forbid_dtd=True)
    except FileNotFoundError:
        raise MissingError("the metadata of a plate is missing", str(path), remedy) from None
    except DefusedXmlException as error:
        what = f"a metadata file declares entities, which no instrument does: {type(error).__name__}"
        raise InputError(what, str(path), remedy) from None
    except (ParseError, ValueError, LookupError, OSError, RecursionError) as error:
        raise InputError(f"a metadata file is no XML: {error}", str(path), remedy) from None
    return root


def local(name: str) -> str:
    """Return the name of a tag or attribute without its name space."""
    return name.rsplit("}", 1)[-1]


def children(element: Element, name: str) -> Iterator[Element]:
    """Yield the children of ``element`` with this local name."""
    return (child for child in element if isinstance(child.tag, str) and local(child.tag) == name)


def text(element: Element, name: str) -> str | None:
    """Return the text of the first child with this local name; None when there is none or it is empty."""
    found = next(children(element, name), None)
    return (found.text or "").strip() or None if found is not None else None


def attribute(element: Element, name: str) -> str | None:
    """Return the attribute with this local name, or None."""
    return next((value for key, value in element.attrib.items() if local(key) == name), None)
