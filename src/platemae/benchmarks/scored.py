"""What a benchmark scores: a map, and the wells that it was made of; each is read when first asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from platemae.benchmarks.aggregate import AggregateSettings
from platemae.errors import MissingError

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True, eq=False)
class Scored:
    """A map and its wells.

    Parameters
    ----------
    read_map
        Returns the map: one row a perturbation, named in ``obs["gene"]``.
    read_wells
        Returns the corrected replicates of all plates, with the contract's ``Metadata_`` columns of ``obs``.
    aggregate
        How the wells became the map, for benchmarks that make it again from some of the wells.
    """

    read_map: Callable[[], AnnData] | None = None
    read_wells: Callable[[], AnnData] | None = None
    aggregate: AggregateSettings = field(default_factory=AggregateSettings)

    @cached_property
    def gene_map(self) -> AnnData:
        """The map.

        Raises
        ------
        MissingError
            When there is none.
        """
        if self.read_map is None:
            raise MissingError("the benchmark needs a map, and there are wells alone", "map", "give the map, too")
        return self.read_map()

    @cached_property
    def wells(self) -> AnnData:
        """The wells.

        Raises
        ------
        MissingError
            When there are none.
        """
        if self.read_wells is None:
            raise MissingError("the benchmark needs wells, and there is a map alone", "wells", "give the wells, too")
        return self.read_wells()
