"""Tables of profiles as files: CSV, parquet and h5ad, their columns without their rows, their rows in blocks."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import anndata
import pandas as pd
import pyarrow
import pyarrow.parquet

from platemae.errors import InputError

SUFFIXES = (".csv", ".csv.gz", ".parquet", ".h5ad")
BLOCK_ROWS = 4096
"""Rows that are read at once: a table of a whole screen is larger than the memory of a job."""

PLATES = (
    ("Metadata_Plate",),
    ("Image_Metadata_Plate",),
    ("experiment_name", "plate"),
    ("experiment", "plate"),
    ("plate",),
)
WELLS = ("Metadata_Well", "Image_Metadata_Well", "address", "well")
WELL_ID = "well_id"
"""Usual names of the columns that say plate and well: of pycytominer and CellProfiler, and of the RxRx releases, whose
plates have a number within an experiment. ``well_id`` says all of it, as ``gene-134_2_L39``."""

LABELS = re.compile(
    r"^(Image_)?Metadata_|^(Image_)?(FileName|PathName|URL|MD5Digest)_|^(Image|Object|Table)Number$|^Unnamed: \d+$"
)
"""Columns that are no features in tables of CellProfiler and pycytominer."""

NUMBERED = re.compile(r"^(.*\D)?\d+$")
"""Features of tables without the prefix ``Metadata_``: embeddings, numbered; every other column is a label."""


@dataclass(frozen=True)
class ProfileTable:
    """A table of profiles, known by its columns.

    Parameters
    ----------
    path
        The file.
    plate
        Columns that name the plate, joined by ``_``; none where all rows are of one plate.
    well
        Column that names the well.
    features
        The columns that may be features, in order.
    """

    path: Path
    plate: tuple[str, ...]
    well: str
    features: tuple[str, ...]

    @property
    def one_plate(self) -> bool:
        """Whether no column tells plates apart."""
        return not self.plate and self.well != WELL_ID

    def blocks(self, features: Sequence[str]) -> Iterator[pd.DataFrame]:
        """Yield the rows in blocks: the columns ``features``, the index ``plate`` and ``well`` as text.

        Raises
        ------
        InputError
            When the file is damaged.
        """
        keys = list(dict.fromkeys((*self.plate, self.well)))
        with _readable(self.path):
            for block in _read(self.path, keys, list(features)):
                yield block[list(features)].set_axis(self._places(block[keys].astype(str)), axis="index")

    def _places(self, keys: pd.DataFrame) -> pd.MultiIndex:
        if self.well == WELL_ID:
            parts = keys[WELL_ID].str.rpartition("_")
            return pd.MultiIndex.from_arrays([parts[0], parts[2]], names=["plate", "well"])
        plates = keys[list(self.plate)].agg("_".join, axis=1) if self.plate else pd.Series("", index=keys.index)
        return pd.MultiIndex.from_arrays([plates, keys[self.well]], names=["plate", "well"])


def open_table(
    path: Path, plate: str | None, well: str | None, one_plate: bool, key: str = "models: table"
) -> ProfileTable:
    """Look at the columns of a table.

    Parameters
    ----------
    path
        CSV, parquet or h5ad.
    plate, well
        Columns that name plate and well; None: found by their usual names.
    one_plate
        Whether the file holds a single plate, so that no column need name it.
    key
        Key of the configuration that names the table, for errors.

    Raises
    ------
    InputError
        When the file is missing, damaged or of another form, has a column twice, no feature, or lacks plate or well.
    """
    if not path.name.endswith(SUFFIXES):
        raise InputError("a table of profiles has an unknown suffix", str(path), f"known: {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise InputError("a table of profiles is missing", str(path), f"correct {key} in the configuration")
    with _readable(path):
        labels, features = _columns(path)
    columns = labels + features
    twice = sorted({name for name in columns if columns.count(name) > 1}) if len(set(columns)) < len(columns) else []
    if twice:
        raise InputError(
            f"columns stand twice: {', '.join(twice[:8])}", str(path), "give each column a name of its own"
        )
    plates, wells = _keys(columns, plate, well)
    no_plate = not plates and (plate is not None or (wells != WELL_ID and not one_plate))
    if wells is None or no_plate:
        lacking = " and ".join(["plate"] * no_plate + ["well"] * (wells is None))
        remedy = "name plate and well of each row: Metadata_Plate, Metadata_Well, or set plate_column, well_column"
        raise InputError(f"columns are missing: none names the {lacking}", str(path), remedy)
    chosen = _features(features, {*plates, wells})
    if not chosen:
        raise InputError("there is no feature column", str(path), "names of columns that are none start with Metadata_")
    return ProfileTable(path, plates, wells, tuple(chosen))


def plain_plate(plate: str) -> str:
    """Return a plate's id in one spelling: RxRx has ``gene-134_2`` and ``gene-134/Plate2`` for the same plate."""
    return re.sub(r"[_/]Plate(?=\d+$)", "_", plate)


def _columns(path: Path) -> tuple[list[str], list[str]]:
    """Return the columns that can only be labels (obs of an h5ad), and the others."""
    if path.suffix == ".parquet":
        return [], [str(name) for name in pyarrow.parquet.read_schema(path).names]
    if path.suffix == ".h5ad":
        data = anndata.read_h5ad(path, backed="r")
        try:
            return [str(c) for c in data.obs.columns], [str(c) for c in data.var_names]
        finally:
            data.file.close()
    header = pd.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False).iloc[0]
    # A column without a name, often the index of the table that was written, is called so by pandas.
    return [], [str(name) or f"Unnamed: {i}" for i, name in enumerate(header)]


def _keys(columns: Sequence[str], plate: str | None, well: str | None) -> tuple[tuple[str, ...], str | None]:
    plates = [(plate,)] if plate else [names for names in PLATES if set(names) <= set(columns)]
    wells = [well] if well else [name for name in (*WELLS, WELL_ID) if name in columns]
    plates = [names for names in plates if set(names) <= set(columns)]
    wells = [name for name in wells if name in columns]
    return plates[0] if plates else (), wells[0] if wells else None


def _features(columns: Sequence[str], keys: set[str]) -> list[str]:
    named = [c for c in columns if c not in keys and not LABELS.match(c)]
    told_apart = any(c.startswith(("Metadata_", "Image_Metadata_")) for c in (*columns, *keys))
    return named if told_apart else [c for c in named if NUMBERED.match(c)] or named


def _read(path: Path, keys: list[str], features: list[str]) -> Iterator[pd.DataFrame]:
    wanted = keys + features
    if path.suffix == ".parquet":
        file = pyarrow.parquet.ParquetFile(path)
        yield from (batch.to_pandas() for batch in file.iter_batches(BLOCK_ROWS, columns=wanted))
    elif path.suffix == ".h5ad":
        data = anndata.read_h5ad(path)
        yield data.obs[keys].reset_index(drop=True).join(data.to_df()[features].reset_index(drop=True))
    else:
        texts = dict.fromkeys(keys, str)
        yield from pd.read_csv(path, usecols=wanted, dtype=texts, chunksize=BLOCK_ROWS, low_memory=False)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        EOFError,
        zlib.error,
        pyarrow.ArrowException,
    ) as e:
        raise InputError(f"a table of profiles cannot be read: {e}", str(path), "write it again") from None
