"""Assay layouts of Harmony (Operetta, Opera Phenix): XML with a layer a property and a value a well."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from platemae.errors import ConfigError
from platemae.layouts.columns import LABEL_ROLES, find_columns, value
from platemae.layouts.options import LayoutOptions
from platemae.layouts.rows import Group, Row, read
from platemae.layouts.text import MAX_BYTES

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

ROLES = (*LABEL_ROLES, "concentration", "unit")
Layers = dict[str, dict[tuple[str, str], str]]
"""Name of a layer -> row and column -> value."""


def groups(path: Path, plates: Sequence[str], options: LayoutOptions) -> list[Group]:
    """Return the wells of a layout; its layers are the columns. A well without any value is a row too.

    Raises
    ------
    ConfigError
        When the file is no assay layout.
    """
    layers, problems = _layers(_root(path), str(path))
    header = list(layers)
    given = {role: name for role, name in options.columns.items() if role in ROLES}
    columns, wrong = find_columns(header, given, ROLES, str(path))
    names = {role: header[places[0]] for role, places in columns.items()}
    rows = []
    for row, column in dict.fromkeys(place for layer in layers.values() for place in layer):
        cells = [layers[name].get((row, column), "") for name in header]
        place = f"{path}, Row {row}, Col {column}"
        rows.append(Row(place, {"row": row, "column": column, **read(cells, columns)}, names))
    return [Group(str(path), tuple(plates), tuple(rows), tuple(problems + wrong))]


def _root(path: Path) -> Element:
    from defusedxml.common import DefusedXmlException
    from defusedxml.ElementTree import ParseError, fromstring

    remedy = "export the assay layout from Harmony again"
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"an assay layout is larger than {MAX_BYTES >> 20} MiB", str(path), remedy)
        root: Element = fromstring(path.read_bytes(), forbid_dtd=True)
    except DefusedXmlException as error:
        what = f"an assay layout declares entities, which Harmony does not: {type(error).__name__}"
        raise ConfigError(what, str(path), remedy) from None
    except (ParseError, ValueError, LookupError, OSError, RecursionError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"an assay layout is no XML: {error}", str(path), remedy) from None
    if _local(root) != "AssayLayout":
        raise ConfigError(f"the XML file is no assay layout but {_local(root)!r}", str(path), remedy)
    return root


def _layers(root: Element, where: str) -> tuple[Layers, list[ConfigError]]:
    layers: Layers = {}
    problems: list[ConfigError] = []
    for layer in _children(root, "Layer"):
        name = _text(layer, "Name")
        if name in layers:
            problems.append(ConfigError(f"two layers are called {name!r}", where, "rename one of them"))
        wells = layers.setdefault(name, {})
        for well in _children(layer, "Well"):
            place, text = (_text(well, "Row"), _text(well, "Col")), value(_text(well, "Value"))
            if wells.setdefault(place, text) != text:
                at = f"{where}, layer {name}, Row {place[0]}, Col {place[1]}"
                problems.append(ConfigError("a well has two values in one layer", at, "keep one of them"))
    return layers, problems


def _children(element: Element, name: str) -> Iterator[Element]:
    return (child for child in element if _local(child) == name)


def _text(element: Element, name: str) -> str:
    found = next(_children(element, name), None)
    return (found.text or "").strip() if found is not None else ""


def _local(element: Element) -> str:
    return element.tag.rsplit("}", 1)[-1] if isinstance(element.tag, str) else ""
