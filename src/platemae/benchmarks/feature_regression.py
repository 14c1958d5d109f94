"""Hand-made features from embeddings: how much of each CellProfiler feature a linear map of a well's vector tells.

The CVPR paper reports R2 of a linear regression from embeddings to 955 CellProfiler features, by category; its split
and regulariser are not known. Here: ridge regression with an intercept on vectors standardised on the training part,
plates (or batches) held out whole, the penalty of each feature chosen among ``alphas`` by the leave-one-out error of
the training part (as scikit-learn's ``RidgeCV(alpha_per_target=True)``; with one alpha, its ``Ridge``). R2 of a
feature is 1 - sum (y - told)^2 / sum (y - mean)^2 over all wells, each told by the fit that has not seen its plate;
the mean is that of all wells, so an offset between plates that images do not show counts against the embedding. One
singular value decomposition a part serves all features and penalties.

Shapes: N wells, D dimensions, F features, Q plates, A penalties, R rank, T wells of the held-out part, B resamples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.linalg import svd
from sklearn.model_selection import GroupKFold

from platemae.benchmarks.bootstrap import (
    LEAST_UNITS,
    FloatArray,
    IntArray,
    check_at_least,
    interval_facts,
    multinomial_weights,
    percentile_interval,
)
from platemae.benchmarks.feature_table import category, compartment, read_features
from platemae.benchmarks.rows import ScoreRow, score_table
from platemae.benchmarks.wells import EMPTY, Wells
from platemae.errors import ConfigError

if TYPE_CHECKING:
    from platemae.benchmarks.scored import Scored

BENCHMARK = "feature_regression"
SplitBy = Literal["plate", "batch"]
LEAST_GROUPS = 3
CATEGORY = "category"
_FEATURES = 128


@dataclass(frozen=True)
class FeatureRegressionSettings:
    """Settings of :class:`FeatureRegression`.

    Parameters
    ----------
    features
        Table of features, or one a plate with ``{plate}`` in its path.
    alphas
        Penalties to choose from.
    split_by
        Groups that are held out whole.
    n_splits
        Parts; at most the number of groups.
    per_feature
        Whether the rows of categories tell R2 of each of their features in ``detail``.
    n_bootstrap, n_plate_bootstrap, seed
        Resamples of the features for the one interval and of the groups for the other, and their seed.
    """

    file_keys: ClassVar[tuple[str, ...]] = ("features",)

    features: str = ""
    alphas: tuple[float, ...] = (1.0, 10.0, 100.0, 1000.0, 10000.0)
    split_by: SplitBy = "plate"
    n_splits: int = 5
    per_feature: bool = False
    n_bootstrap: int = 1000
    n_plate_bootstrap: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        check_at_least(self.n_splits, 2, "n_splits")
        check_at_least(self.n_bootstrap, 1, "n_bootstrap")
        if not self.alphas or not all(0 < alpha < np.inf for alpha in self.alphas):
            raise ConfigError(f"alphas is {list(self.alphas)}", "benchmarks: alphas", "give numbers above 0")
        if self.split_by not in get_args(SplitBy):
            raise ConfigError(f"'{self.split_by}' is not allowed", "benchmarks: split_by", "use plate or batch")


class FeatureRegression:
    """The benchmark as the registry offers it."""

    Settings: ClassVar[type[FeatureRegressionSettings]] = FeatureRegressionSettings

    @staticmethod
    def score(scored: Scored, settings: FeatureRegressionSettings) -> pd.DataFrame:
        """Tell the features of every well but empty ones, and those without a plate or batch to be held out with.

        Returns
        -------
        ``median_r2`` of all features, of each category and of each compartment (sources ``all``,
        ``category:texture``, ``compartment:Nuclei``); with ``per_feature`` R2 of each stands in the details of
        categories. Chance is 0. ``ci`` resamples features, ``plate_ci`` groups; predictions are not made again.

        Raises
        ------
        PlatemaeError
            If no table is named, one is missing or wrong, or fits no well.
        """
        if not settings.features:
            raise ConfigError("no table of features is named", "benchmarks: features", "give its path")
        split = f"Metadata_{settings.split_by.title()}"
        wells = Wells.of(scored.wells, [split, "Metadata_Control_Type"])
        wells = wells.only((wells.obs["Metadata_Control_Type"] != EMPTY).to_numpy())
        grouped_N = (wells.obs[split] != "").to_numpy()
        wells = wells.only(grouped_N)
        found = {**wells.notes, "split_by": settings.split_by, "n_without_group": int((~grouped_N).sum())}
        if not grouped_N.any():
            why = {**found, "reason": f"no well has a {settings.split_by}"}
            return score_table([ScoreRow(BENCHMARK, "all", "median_r2", detail=why)])
        plates = wells.obs["Metadata_Plate"].tolist()
        table = read_features(settings.features, plates, wells.obs["Metadata_Well"].tolist())
        group_N, groups = pd.factorize(wells.obs[split].to_numpy()[table.well_N], sort=True)
        detail = {**found, **table.notes, "n_groups": len(groups)}
        detail |= {"n_wells": len(table.well_N), "alphas": list(settings.alphas)}
        if len(groups) < 2:
            why = {**detail, "reason": f"there is one {settings.split_by} alone, and two are needed"}
            return score_table([ScoreRow(BENCHMARK, "all", "median_r2", n=len(table.names), detail=why)])
        scale_F = table.y_NF.std(axis=0)
        y_NF = (table.y_NF - table.y_NF.mean(axis=0)) / scale_F
        told_NF = cross_predict(wells.x_ND[table.well_N], y_NF, group_N, settings.alphas, settings.n_splits)
        errors = _Errors.of(y_NF, told_NF, group_N, len(groups))
        return score_table(_rows(errors, table.names, detail, settings))


def cross_predict(
    x_ND: FloatArray, y_NF: FloatArray, group_N: IntArray, alphas: Sequence[float], n_splits: int
) -> FloatArray:
    """Predict each well by the fit that has not seen its group; (N, F)."""
    told_NF = np.empty_like(y_NF)
    for train, test in GroupKFold(min(n_splits, len(np.unique(group_N)))).split(x_ND, groups=group_N):
        told_NF[test] = ridge(x_ND[train], y_NF[train], x_ND[test], alphas)
    return told_NF


def ridge(x_ND: FloatArray, y_NF: FloatArray, x_TD: FloatArray, alphas: Sequence[float]) -> FloatArray:
    """Fit on (x_ND, y_NF) and predict x_TD.

    With x = U diag(s) V' (centred, standardised), the fit of penalty a is mean + U diag(s^2 / (s^2 + a)) U'y, and the
    leave-one-out error of a well its residual over 1 - h, h the diagonal of 11'/N + U diag(s^2 / (s^2 + a)) U'.

    Parameters
    ----------
    x_ND, y_NF, x_TD
        Vectors and features of the training wells, vectors of the others.
    alphas
        Penalties; where there are several, each feature takes the one with the least leave-one-out error.

    Returns
    -------
    (T, F) predictions.
    """
    mean_D, sd_D = x_ND.mean(axis=0), x_ND.std(axis=0)
    sd_D = np.where(sd_D > 10 * np.finfo(float).eps * np.abs(mean_D), sd_D, 1.0)
    u_NR, s_R, v_RD = svd((x_ND - mean_D) / sd_D, full_matrices=False)
    mean_F = y_NF.mean(axis=0)
    uy_RF = u_NR.T @ (y_NF - mean_F)
    chosen_F = _choose(u_NR, s_R, y_NF - mean_F, uy_RF, alphas)
    along_TR = ((x_TD - mean_D) / sd_D) @ v_RD.T
    told_TF = np.empty((len(x_TD), y_NF.shape[1]))
    for index in np.unique(chosen_F):
        own_F = chosen_F == index
        told_TF[:, own_F] = along_TR @ ((s_R / (s_R**2 + alphas[index]))[:, None] * uy_RF[:, own_F])
    told: FloatArray = told_TF + mean_F
    return told


def _choose(
    u_NR: FloatArray, s_R: FloatArray, y_NF: FloatArray, uy_RF: FloatArray, alphas: Sequence[float]
) -> npt.NDArray[np.int64]:
    """Return for each centred feature the penalty of least leave-one-out error; the first of equals."""
    if len(alphas) == 1:
        return np.zeros(y_NF.shape[1], dtype=np.int64)
    error_AF = np.empty((len(alphas), y_NF.shape[1]))
    for a, alpha in enumerate(alphas):
        shrink_R = s_R**2 / (s_R**2 + alpha)
        left_N = 1 - 1 / len(u_NR) - (u_NR**2) @ shrink_R
        for start in range(0, y_NF.shape[1], _FEATURES):
            part = slice(start, start + _FEATURES)
            residual_NF = y_NF[:, part] - u_NR @ (shrink_R[:, None] * uy_RF[:, part])
            error_AF[a, part] = ((residual_NF / left_N[:, None]) ** 2).mean(axis=0)
    return error_AF.argmin(axis=0)


@dataclass(frozen=True, eq=False)
class _Errors:
    """Sums over the wells of each group, from which R2 of any weighting of groups follows; (Q, F), ``n`` (Q,)."""

    n: IntArray
    y: FloatArray
    y2: FloatArray
    error: FloatArray

    @classmethod
    def of(cls, y_NF: FloatArray, told_NF: FloatArray, group_N: IntArray, n_groups: int) -> _Errors:
        sums = [np.zeros((n_groups, y_NF.shape[1])) for _ in range(3)]
        for total_QF, value_NF in zip(sums, (y_NF, y_NF**2, (y_NF - told_NF) ** 2), strict=True):
            np.add.at(total_QF, group_N, value_NF)
        return cls(np.bincount(group_N, minlength=n_groups), *sums)

    def r2(self, weight_BQ: npt.NDArray[Any]) -> FloatArray:
        """Return (B, F); NaN where a feature is constant in the groups drawn."""
        n_B = weight_BQ @ self.n
        spread_BF = weight_BQ @ self.y2 - (weight_BQ @ self.y) ** 2 / n_B[:, None]
        varies_BF = spread_BF > 1e-9 * n_B[:, None]
        return np.where(varies_BF, 1 - weight_BQ @ self.error / np.where(varies_BF, spread_BF, 1), np.nan)


def _rows(
    errors: _Errors, names: Sequence[str], detail: dict[str, Any], settings: FeatureRegressionSettings
) -> Iterator[ScoreRow]:
    rng, n_groups = np.random.default_rng(settings.seed), len(errors.n)
    r2_F = errors.r2(np.ones((1, n_groups)))[0]
    weights_BQ = multinomial_weights(n_groups, max(settings.n_plate_bootstrap, 1), rng)
    enough = settings.n_plate_bootstrap > 0 and n_groups >= LEAST_GROUPS
    plates_BF = errors.r2(weights_BQ) if enough else np.empty((0, len(names)))
    for source, own_F in _sources(names):
        low, high = np.nan, np.nan
        if len(own_F) >= LEAST_UNITS:
            picks_BF = rng.integers(0, len(own_F), (settings.n_bootstrap, len(own_F)))
            low, high = percentile_interval(np.median(r2_F[own_F][picks_BF], axis=1))
        plate_low, plate_high = percentile_interval(np.nanmedian(plates_BF[:, own_F], axis=1))
        shares: dict[str, Any] = {
            "share_above_0": float((r2_F[own_F] > 0).mean()),
            "best": names[own_F[r2_F[own_F].argmax()]],
        }
        if settings.per_feature and source.startswith(CATEGORY):
            shares["r2"] = {names[f]: round(float(r2_F[f]), 4) for f in own_F}
        yield ScoreRow(
            BENCHMARK, source, "median_r2", value=float(np.median(r2_F[own_F])), ci_low=low, ci_high=high,
            plate_ci_low=plate_low, plate_ci_high=plate_high, n=len(own_F), chance=0.0,
            detail={**detail, **shares, **interval_facts(len(own_F))},
        )  # fmt: skip


def _sources(names: Sequence[str]) -> Iterator[tuple[str, IntArray]]:
    """Yield all features, then those of each category and of each compartment."""
    yield "all", np.arange(len(names))
    for what, told in ((CATEGORY, category), ("compartment", compartment)):
        codes, found = pd.factorize(np.array([told(name) for name in names], dtype=object), sort=True)
        for code, value in enumerate(found):
            yield f"{what}:{value}", np.flatnonzero(codes == code)
