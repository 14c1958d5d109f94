"""XML of instruments, read with distrust: no entities, no external files, no surprise at name spaces."""

from __future__ import annotations

from collections.abc import Iterator, Set
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser
from xml.parsers import expat

from platemae.errors import InputError, MissingError

MAX_BYTES = 2**30
"""Largest metadata file: a million images take 700 bytes each."""

MAX_DEPTH = 100
"""Deepest nesting of elements; instruments nest five."""

_REMEDY = "copy it again from the instrument"
_CHUNK = 2**16  # small, so that what is built and dropped stays in the processor's cache


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


def stream(path: Path, names: Set[str]) -> Iterator[Element]:
    """Yield the elements of some local names one by one: the tree of a hundred thousand images is never held whole.

    An element of these names inside another one of them is not looked for.

    Raises
    ------
    MissingError
        When there is no such file.
    InputError
        When it is no XML, cut short, too large, nested too deep, or declares entities; what stands before the fault
        has been yielded then.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputError(f"a metadata file is larger than {MAX_BYTES >> 20} MiB", str(path), _REMEDY)
        _refuse_declarations(path)
        builder = TreeBuilder()
        top = builder.start("", {})  # a root of our own: the way to what the parser has built so far
        parser = XMLParser(target=builder)
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                parser.feed(chunk)
                yield from _take(top, names, path)
        parser.close()
        yield from _wanted([*top], names)
    except FileNotFoundError:
        raise MissingError("the metadata of a plate is missing", str(path), _REMEDY) from None
    except InputError:
        raise
    except (ParseError, expat.ExpatError, ValueError, LookupError, OSError) as error:
        raise InputError(f"a metadata file is no XML: {error}", str(path), _REMEDY) from None


def _refuse_declarations(path: Path) -> None:
    """Refuse a document type declaration, the door to entity bombs; it can stand nowhere but before the root."""
    roots: list[str] = []

    def refuse(*_: object) -> None:  # at once: what follows in the chunk may use the entities
        raise InputError("a metadata file declares entities, which no instrument does", str(path), _REMEDY)

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = lambda tag, _: roots.append(tag)
    with path.open("rb") as file:
        while not roots and (chunk := file.read(_CHUNK)):
            parser.Parse(chunk, False)


def _take(top: Element, names: Set[str], path: Path) -> Iterator[Element]:
    """Yield what is complete below ``top`` and drop it; the last child of an open element may still be open."""
    depth, element = 0, top
    while len(element) and local(element.tag) not in names:
        done = element[:-1]
        del element[:-1]
        yield from _wanted(done, names)
        depth, element = depth + 1, element[-1]
        if depth > MAX_DEPTH:
            raise InputError("a metadata file nests elements too deep", str(path), _REMEDY)


def _wanted(elements: list[Element], names: Set[str]) -> Iterator[Element]:
    waiting = elements[::-1]
    while waiting:
        element = waiting.pop()
        if local(element.tag) in names:
            yield element
        else:
            waiting.extend(reversed(element))
