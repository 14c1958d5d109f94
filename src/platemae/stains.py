"""Stains by their many names: one table, so that a model finds its channels on plates of other instruments."""

from __future__ import annotations

import re

STAINS: dict[str, tuple[str, ...]] = {
    "DNA": ("dna", "hoechst", "hoechst 33342", "hoechst 33258", "dapi", "draq5", "sytox green", "nuclei", "nucleus"),
    "ER": ("er", "endoplasmic reticulum", "concanavalin a", "cona", "con a", "concanavalin", "calreticulin"),
    "RNA": ("rna", "syto 14", "syto14", "nucleoli", "syto rnaselect"),
    "Actin": ("actin", "phalloidin", "f-actin"),
    "Golgi": ("golgi", "wga", "wheat germ agglutinin", "membrane", "plasma membrane"),
    "AGP": ("agp", "actin golgi plasma membrane", "phalloidin wga", "wga phalloidin"),
    "Mito": ("mito", "mitochondria", "mitotracker", "mitotracker deep red", "mitotracker red", "mitotracker orange"),
    "Tubulin": ("tubulin", "alpha-tubulin", "beta-tubulin", "microtubules"),
    "Brightfield": ("brightfield", "bright field", "bf", "transmitted", "tl brightfield", "phase"),
}
"""Canonical stain -> its names, lower case. AGP is two stains in one channel, so it is neither Actin nor Golgi."""

_CANONICAL = {re.sub(r"[^a-z0-9]", "", alias): stain for stain, aliases in STAINS.items() for alias in aliases}
_DYE = re.compile(r"(alexa(fluor)?|af)\d{3}")


def stain_of(text: str) -> str | None:
    """Return the canonical stain that ``text`` names, such as ``DNA`` for ``Hoechst 33342``; None for an unknown one.

    Spelling counts neither in case nor in spaces and signs; the prefix ``Orig`` of JUMP's tables and an Alexa dye
    beside the stain (``Phalloidin Alexa Fluor 568``) are passed over.
    """
    plain = _plain(text)
    return _CANONICAL.get(plain) or _CANONICAL.get(_DYE.sub("", plain.removeprefix("orig")))


def same_stain(one: str, other: str) -> bool:
    """Return whether two texts name one stain; unknown ones must be spelled alike, but for case and signs."""
    return (stain_of(one) or _plain(one)) == (stain_of(other) or _plain(other))


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower()) or text
