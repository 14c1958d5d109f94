"""Replicate wells of each row of a map, in an order of their own, with the controls beside them.

Shapes: N wells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from platemae.benchmarks.bootstrap import IntArray
from platemae.benchmarks.entities import TREATMENT, TextArray, name_entities, names

if TYPE_CHECKING:
    from platemae.benchmarks.scored import Scored

CONTROL = "negcon"


@dataclass(frozen=True, eq=False)
class Replicates:
    """Wells, sorted by plate, well and perturbation, so that no draw depends on the order of a file.

    Parameters
    ----------
    x
        (N, D) wells.
    place
        (N,) their positions in ``scored.wells``.
    label
        (N,) row of the map that a treated well belongs to, empty for none.
    control
        (N,) perturbation of a negative control well, ``negcon`` where it has no name; empty for other wells.
    batch
        (N,) batch, the plate where there is none.
    """

    x: npt.NDArray[Any]
    place: IntArray
    label: TextArray
    control: TextArray
    batch: TextArray

    @classmethod
    def of(cls, scored: Scored) -> Replicates:
        """Sort and name the wells.

        Raises
        ------
        PlatemaeError
            When there are no wells, or they lack a column, see :func:`name_entities`.
        """
        obs = scored.wells.obs
        entities = name_entities(obs, scored.aggregate)
        kind_N = obs["Metadata_Control_Type"].astype(str).to_numpy()
        label_N = np.where(kind_N == TREATMENT, entities.name, "").astype(object)
        named_N = np.where(entities.guide != "", entities.guide, CONTROL)
        control_N = np.where(kind_N == CONTROL, named_N, "").astype(object)
        plate_N = names(obs, "Metadata_Plate")
        batch_N = names(obs, "Metadata_Batch") if "Metadata_Batch" in obs else np.full(len(obs), "", dtype=object)
        keys = {"plate": plate_N, "well": names(obs, "Metadata_Well"), "guide": entities.guide}
        place_N = pd.DataFrame(keys).sort_values(list(keys), kind="stable").index.to_numpy(np.int64)
        batch_N = np.where(batch_N != "", batch_N, plate_N).astype(object)
        x_ND = np.asarray(scored.wells.X)[place_N]
        return cls(x_ND, place_N, label_N[place_N], control_N[place_N], batch_N[place_N])
