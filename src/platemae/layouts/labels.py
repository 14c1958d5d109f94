"""From what a layout says of a well or cell to perturbation, gene, compound and control type."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from platemae.contracts import CONTROL_TYPES
from platemae.errors import ConfigError, few, number_of
from platemae.layouts.metadata import Metadata
from platemae.layouts.options import LayoutOptions

BLANK_LABEL, NO_LABEL = "blank", "unlabelled"
"""Labels of wells for which the layout names nothing at all, or a perturbation without a control label."""


@dataclass
class Labeller:
    """Labels wells or cells, and counts what it met.

    Parameters
    ----------
    options, metadata
        The vocabulary, and what is known of perturbations.
    labels
        Control label -> number of wells or cells.
    unmapped
        The labels that mean no control type.
    unknown
        Perturbation that the metadata lacks -> number of wells or cells.
    """

    options: LayoutOptions
    metadata: Metadata
    labels: Counter[str] = field(default_factory=Counter)
    unmapped: set[str] = field(default_factory=set)
    unknown: Counter[str] = field(default_factory=Counter)

    def label(self, values: Mapping[str, str], count: int = 1) -> dict[str, str]:
        """Return perturbation, gene, compound and control type; the last empty when the label is not mapped.

        What the layout says itself comes before the metadata. A well without a perturbation's name is called by its
        compound or gene.

        Parameters
        ----------
        values
            Role -> text, as the layout says.
        count
            Number of wells or cells that say so.
        """
        name = values.get("perturbation", "")
        known = self.metadata.get(name, {})
        merged = {role: values.get(role) or known.get(role, "") for role in ("gene", "compound", "control_type")}
        perturbation = name or merged["compound"] or merged["gene"]
        own = next((self.options.perturbations[n] for n in (perturbation, merged["compound"]) if self._named(n)), None)
        if self.metadata and name and own is None and name not in self.metadata:
            self.unknown[name] += count
        label = merged["control_type"] or (NO_LABEL if perturbation else BLANK_LABEL)
        return merged | {"perturbation": perturbation, "control_type": own or self._control_type(label, count)}

    def _named(self, name: str) -> bool:
        return bool(name) and name in self.options.perturbations

    def _control_type(self, label: str, count: int) -> str:
        self.labels[label] += count
        mapped = self.options.control_types.get(label) or (label if label in CONTROL_TYPES else "")
        if not mapped:
            self.unmapped.add(label)
        return mapped

    def problems(self, where: str, unit: str) -> list[ConfigError]:
        """Return one error for all labels that are not mapped, and one for all that the metadata lacks.

        Parameters
        ----------
        where
            The layouts.
        unit
            What is counted: ``well`` or ``cell``.
        """
        found: list[ConfigError] = []
        if self.unmapped:
            found.append(ConfigError(self._unmapped(unit), where, self._remedy()))
        if self.unknown:
            what = f"the metadata lacks {len(self.unknown)} perturbations: {_counted(self.unknown, unit)}"
            found.append(ConfigError(what, where, "add them to a table of layouts: metadata"))
        return found

    def _unmapped(self, unit: str) -> str:
        foreign = self._foreign()
        said = [f"unknown control type{'s' if len(foreign) > 1 else ''} {_counted(foreign, unit)}"] if foreign else []
        said += [
            f"{number_of(self.labels[label], unit)} {why} ({label!r})"
            for label, why in _UNSAID.items()
            if label in self.unmapped
        ]
        right = Counter({label: n for label, n in self.labels.items() if label not in self.unmapped})
        return "; ".join(said + ([f"known ones are {_counted(right, unit)}"] if right else []))

    def _foreign(self) -> Counter[str]:
        """Return the unmapped labels that stand in the layouts, and how often."""
        return Counter({label: n for label, n in self.labels.items() if label in self.unmapped - set(_UNSAID)})

    def _remedy(self) -> str:
        remedies = []
        if foreign := self._foreign().most_common(1):
            label = foreign[0][0]
            # No guess but for what looks misspelled: a control that is mapped as treated spoils all that follows.
            near = get_close_matches(label.lower(), CONTROL_TYPES, 1, 0.7) or ["..."]
            words = "correct what is misspelled, map others under layouts: control_types, such as"
            remedies.append(f"{words} {{{label}: {near[0]}}}; allowed: {', '.join(CONTROL_TYPES)}")
        if NO_LABEL in self.unmapped:
            words = "fill in control_type, or say it under layouts: of single ones as perturbations: {DMSO: negcon},"
            remedies.append(f"{words} of the others as control_types: {{{NO_LABEL}: treatment}}")
        if BLANK_LABEL in self.unmapped:
            words = "fill in perturbation and control_type; for wells that are empty set layouts: control_types:"
            remedies.append(f"{words} {{{BLANK_LABEL}: empty}}")
        return "; ".join(remedies)


_UNSAID = {NO_LABEL: "with a perturbation and no control type", BLANK_LABEL: "not filled in"}
"""Labels that stand in no layout, and what is so called."""


def _counted(counts: Counter[str], unit: str) -> str:
    return few([f"{name!r} ({number_of(n, unit)})" for name, n in counts.most_common()])
