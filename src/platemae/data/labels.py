"""Labels of training fields, and batches of one domain, for models that learn from labels.

Legend: B crops of a batch, C channels, S edge of a crop, F fields of a split.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from platemae.data.crops import CropSource
from platemae.data.groups import groups_of, labelled_table
from platemae.data.sampler import CropSpec, Groups, Sampler, drawn, fixed_specs
from platemae.errors import ConfigError, UntrainableError
from platemae.fingerprint import digest_table
from platemae.layout import Results

UNLABELLED = -1
Labelled = tuple[np.ndarray, np.ndarray]
"""Crops (B, C, S, S) and the class of each (B,)."""


@dataclass(frozen=True)
class Labels:
    """Classes, and of each field of a split its class and its domain.

    Parameters
    ----------
    classes
        Labels of the training fields, sorted.
    of_F
        Index of each field's class by split; ``UNLABELLED`` for none, or for one that no training field has.
    domain_F
        Plate or batch of each field by split; equal for all where there are no domains.
    """

    classes: tuple[str, ...]
    of_F: dict[str, np.ndarray]
    domain_F: dict[str, np.ndarray]

    def groups(self, split: str) -> list[np.ndarray]:
        """Return the labelled fields of each domain, in the order of their names."""
        domains, labelled = self.domain_F[split], self.of_F[split] != UNLABELLED
        return [np.flatnonzero((domains == d) & labelled) for d in np.unique(domains[labelled])]


def read_labels(results: Results, dataset: str, label: str, domain: str) -> Labels:
    """Read the labels of a dataset's fields.

    Parameters
    ----------
    results
        Paths.
    dataset
        Its name.
    label
        ``perturbation`` or ``gene``: the column of the layouts.
    domain
        ``plate``, ``batch``, or ``none``.

    Raises
    ------
    UntrainableError
        When the training fields have fewer than two labels.
    """
    table = labelled_table(results, dataset, label)
    train = table.loc[table["split"] == "train", "label"]
    classes = tuple(sorted(set(train) - {""}))
    if len(classes) < 2:
        found = f"one {label} alone: {classes[0]}" if classes else f"no {label}"
        raise UntrainableError(
            f"the training fields of dataset {dataset} have {found}; a classifier needs at least two",
            f"models: label; datasets: {dataset}",
            "add plates, correct the layouts, or choose another label",
        )
    number = {name: index for index, name in enumerate(classes)}
    of = {str(split): rows["label"].map(number) for split, rows in table.groupby("split")}
    domains = table[domain] if domain != "none" else table["split"]
    return Labels(
        classes,
        {split: column.fillna(UNLABELLED).to_numpy(np.int64) for split, column in of.items()},
        {split: domains[column.index].to_numpy(dtype="U") for split, column in of.items()},
    )


def labels_key(results: Results, dataset: str, label: str, domain: str) -> dict[str, Any]:
    """Return what a training depends on beside the pixels: labels and domains."""
    return {"label": label, "domain": domain, "digest": digest_table(labelled_table(results, dataset, label))}


@dataclass(frozen=True)
class DomainSampler(Sampler):
    """Draws each batch from one domain; a function of seed and step alone, as its parent.

    Domains come in rounds. In one round each has as many batches as one crop a field fills (``per_field`` crops, where
    that is more), and the order of the batches is another in every round.

    Parameters
    ----------
    domains
        Fields of each domain, in groups as those of `Sampler`; fields of none are never drawn.
    """

    domains: tuple[Groups, ...] = ()

    def __post_init__(self) -> None:
        if self.batch < 2:
            raise ConfigError(
                "a batch of one crop has no batch statistics", "train.global_batch", "take two or more crops a step"
            )

    def field_of(self, position: int) -> int:
        """Return the field of the crop at a position of all crops ever drawn."""
        step, index = divmod(position, self.batch)
        domain, turn = self.domain_of(step)
        return drawn((self.seed, 5, domain), (turn * self.batch + index) // self.per_field, self.domains[domain])

    def domain_of(self, step: int) -> tuple[int, int]:
        """Return the domain of a step, and how many steps it had before."""
        number, place = divmod(step, sum(self._quotas))
        order = _round(self.seed, number, self._quotas)
        domain = int(order[place])
        return domain, number * self._quotas[domain] + int((order[:place] == domain).sum())

    @cached_property
    def _quotas(self) -> tuple[int, ...]:
        """Batches of each domain in a round; asked for with every crop, of groups without number."""
        sizes = [self.per_field * sum(map(len, groups)) for groups in self.domains]
        return tuple(-(-size // self.batch) for size in sizes)


@lru_cache(maxsize=4)
def _round(seed: int, number: int, quotas: tuple[int, ...]) -> np.ndarray:
    """Return the domain of each step of a round."""
    steps = np.repeat(np.arange(len(quotas)), quotas)
    return np.random.default_rng([seed, 4, number]).permutation(steps)


def domain_sampler(
    source: CropSource,
    labels: Labels,
    batch: int,
    seed: int,
    flip: bool,
    group_F: np.ndarray | None = None,
    per_field: int = 1,
) -> DomainSampler:
    """Return the sampler of a source's labelled training fields.

    Parameters
    ----------
    source, labels
        The crops, and their labels and domains.
    batch, seed, flip, per_field
        As for `Sampler`.
    group_F
        Group of each field; within a domain groups are seen equally often. None: fields are.
    """
    domains = tuple(groups_of(group_F, fields) for fields in labels.groups("train"))
    sizes = source.heights, source.widths
    return DomainSampler(*sizes, source.crop, batch, seed, flip, per_field=per_field, domains=domains)


def labelled_validation(source: CropSource, labels: Labels, count: int, batch: int, seed: int) -> list[Labelled]:
    """Return fixed crops of labelled validation fields, each batch of one domain and of two crops or more.

    None where no validation field has a label that was trained on.
    """
    if "validation" not in labels.of_F:
        return []
    specs = fixed_specs(source.heights, source.widths, source.crop, count, seed)
    found = []
    for fields in labels.groups("validation"):
        chosen = [spec for spec in specs if spec.field in set(fields.tolist())]
        parts = np.array_split(np.arange(len(chosen)), -(-len(chosen) // batch)) if len(chosen) > 1 else []
        found += [with_labels(source, [chosen[i] for i in part], labels.of_F["validation"]) for part in parts]
    return found


def with_labels(source: CropSource, specs: Iterable[CropSpec], label_F: np.ndarray) -> Labelled:
    """Return crops and their classes."""
    chosen = list(specs)
    return source.batch(chosen), label_F[[spec.field for spec in chosen]]
