"""The methods section: what was done, in sentences, with the numbers really used, and what to cite for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from platemae.errors import MissingError
from platemae.layout import Results
from platemae.methods.images import image_paragraphs
from platemae.methods.maps import map_paragraphs
from platemae.methods.networks import model_paragraphs
from platemae.methods.numbers import Quote, Quoted
from platemae.methods.references import REFERENCES, Reference

_CITED = re.compile(r"\[@([a-z0-9]+)\]")


@dataclass(frozen=True)
class Methods:
    """A methods section.

    Parameters
    ----------
    paragraphs
        Heading and text, in which ``[@key]`` cites a reference, as pandoc reads it.
    references
        What the text cites, in that order.
    quotes
        Every number of the text, and the file that holds it.
    """

    paragraphs: tuple[tuple[str, str], ...]
    references: tuple[Reference, ...]
    quotes: tuple[Quote, ...]

    def markdown(self) -> str:
        """Return the text with a heading a paragraph."""
        return "".join(f"## {heading}\n\n{text}\n\n" for heading, text in self.paragraphs).rstrip() + "\n"

    def bibtex(self) -> str:
        """Return the references as BibTeX."""
        return "\n".join(reference.bibtex() for reference in self.references)


def methods_text(results: Results, cfg: Mapping[str, Any], versions: Mapping[str, str]) -> Methods:
    """Write the methods section of finished results; reads manifests, ``model.json`` and fields tables alone.

    Parameters
    ----------
    results
        The results folder.
    cfg
        The slice of the configuration that `render_report` gets.
    versions
        Library -> version that the jobs ran with.

    Raises
    ------
    MissingError, ContractError
        When a job that the text tells of is not done, or its manifest cannot be read.
    """
    missing = [name for name in ("plates", "map_plates", "models", "corrections") if not cfg[name]]
    if missing:
        raise MissingError(f"there are no {missing[0]} to tell of", str(results.root), "name some, then platemae run")
    quoted = Quoted(results)
    paragraphs = [
        *image_paragraphs(quoted, cfg),
        *model_paragraphs(quoted, cfg),
        *map_paragraphs(quoted, cfg),
        ("Software", _software(quoted, versions)),
    ]
    keys = dict.fromkeys(key for _, text in paragraphs for key in _CITED.findall(text))
    return Methods(tuple(paragraphs), tuple(REFERENCES[key] for key in keys), tuple(quoted.quotes))


_LIBRARY_KEYS = {
    "torch": "paszke2019",
    "timm": "wightman2019",
    "scanpy": "wolf2018",
    "anndata": "virshup2024",
    "scikit-learn": "pedregosa2011",
    "snakemake": "moelder2021",
}


def _software(quoted: Quoted, versions: Mapping[str, str]) -> str:
    named = [
        f"{name} {quoted.words(version)}{_cite(_LIBRARY_KEYS.get(name))}"
        for name, version in versions.items()
        if version != "absent"
    ]
    return (
        "Plates were processed as a Snakemake workflow, a job a plate, by platemae; the content of each output is kept "
        f"as a digest in its manifest. Versions: {', '.join(named)}."
    )


def _cite(key: str | None) -> str:
    return f" [@{key}]" if key else ""
