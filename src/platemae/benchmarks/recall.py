"""Recall of known relations: how many known pairs lie in the tails of all pairs of the map (PAPER protocol, second
generation: the null is every pair of the map once, known pairs included; EFAAR ``known_relationship_benchmark``).

Shapes: G genes, D dimensions, B bootstrap replicates, P known pairs, C cuts, T thresholds.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from platemae.benchmarks.annotations import Relations, read_relations
from platemae.benchmarks.bootstrap import check_at_least, multinomial_weights, percentile_interval
from platemae.benchmarks.cosine import (
    FloatArray,
    IntArray,
    histogram_and_values,
    pair_totals,
    tail_pairs,
    unit_rows,
    weighted_order_statistics,
)
from platemae.benchmarks.rows import ScoreRow, score_table
from platemae.errors import ConfigError, ContractError, InputError

if TYPE_CHECKING:
    from anndata import AnnData

BENCHMARK = "known_relations"
_SHOWN = 20
