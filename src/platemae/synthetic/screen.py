"""Write a synthetic screen as an instrument-like folder of 16-bit TIFFs with layouts and the planted truth.

::

    screen.json              settings and their digest; written last, so that it marks a complete screen
    plates.tsv               plate, batch, reader, path, layout (paths relative to this file)
    layouts/P1.tsv           well, perturbation, gene, control_type, concentration
    plates/P1/plate.json     what the instrument says about the plate
    plates/P1/Images/        r01c01f01-ch1.tiff, ...
    relations.csv            planted relations: entity1, entity2, strength
    truth.tsv                modules and efficacies, for evaluation alone
    cells/P1.tsv             pooled screens: plate, well, field, cell, y, x (pixels), perturbation, gene, control_type
"""

from __future__ import annotations

import csv
import io
import json
import multiprocessing
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from platemae.errors import ConfigError, InputError
from platemae.logs import track
from platemae.synthetic.cells import draw_field
from platemae.synthetic.design import Well, make_layout, phenotype_of, relations, truth_table
from platemae.synthetic.effects import brightness_of, expose, plate_effect, well_effect
from platemae.synthetic.pooled import PooledSettings, cell_table, draw_pooled, pooled_layout
from platemae.synthetic.settings import CHANNELS, ScreenSettings

FILE_PATTERN = r"r(?P<row>\d+)c(?P<column>\d+)f(?P<field>\d+)-ch(?P<channel>\d+)\.tiff"

_MARKER = "screen.json"
_STARTED = "screen.partial.json"


def write_screen(root: Path, settings: ScreenSettings, workers: int = 2) -> Path:
    """Write a screen, or finish one, and return ``root``.

    A complete screen of the same settings is left as it is. Images of an interrupted run of the same settings are
    kept, as every file appears whole or not at all. The bytes depend on the settings alone (and on the versions of
    numpy, scipy, tifffile and zlib), not on ``workers``.

    Parameters
    ----------
    root
        Folder of the screen; made when it is missing.
    settings
        The screen.
    workers
        Processes that draw.

    Raises
    ------
    ConfigError
        When ``root`` holds a screen of other settings.
    InputError
        When ``root`` holds images that this screen does not have.
    """
    root = Path(root)
    digest = settings.digest()
    done = _digest_of(root / _MARKER, root)
    started = _digest_of(root / _STARTED, root)
    if any(found not in (None, digest) for found in (done, started)):
        raise ConfigError(
            "the folder holds a synthetic screen of other settings",
            str(root),
            "choose another folder, or delete this one and write the screen anew",
        )
    _refuse_foreign_images(root, settings)
    keep = done == digest or started == digest
    if done == digest and not any(_missing_wells(root, settings)) and not _missing_tables(root, settings):
        return root
    _write_json(root / _STARTED, {"digest": digest})
    (root / _MARKER).unlink(missing_ok=True)
    _write_tables(root, settings)
    _write_images(root, settings, list(_missing_wells(root, settings) if keep else _all_wells(settings)), workers)
    _write_json(root / _MARKER, _describe(settings))
    (root / _STARTED).unlink()
    return root


def draw_well(settings: ScreenSettings, plate: int, well: Well, field: int) -> NDArray[np.uint16]:
    """Return the camera counts of one field (index from 0) of a well, (C, H, W) uint16."""
    if isinstance(settings, PooledSettings):
        return draw_pooled(settings, plate, well, field)
    spot = (well.row - 1) * settings.columns + well.column - 1
    rng = settings.rng("field", plate, spot, field)
    effect_P, state_P = phenotype_of(settings, plate, spot, well.perturbation)
    seen = well_effect(settings, plate, well.row, well.column)
    density = seen.density if well.perturbation else 0.0
    stain_CHW = draw_field(settings, effect_P, state_P, density, rng)
    stain_CHW *= brightness_of(settings, effect_P).astype(np.float32)[:, None, None]
    return expose(settings, stain_CHW, plate_effect(settings, plate), seen, rng)


def _write_images(root: Path, settings: ScreenSettings, todo: Sequence[tuple[int, Well]], workers: int) -> None:
    for name in settings.plates:
        (root / "plates" / name / "Images").mkdir(parents=True, exist_ok=True)
    if workers <= 1 or len(todo) < 2:
        for task in track(todo, len(todo), "wells"):
            _write_well(root, settings, *task)
        return
    context = multiprocessing.get_context("spawn")  # a fork beside running threads may hang
    with ProcessPoolExecutor(min(workers, len(todo)), mp_context=context) as pool:
        roots, same = [root] * len(todo), [settings] * len(todo)
        drawn = pool.map(
            _write_well, roots, same, *zip(*todo, strict=True), chunksize=max(1, len(todo) // (8 * workers))
        )
        for _ in track(drawn, len(todo), "wells"):
            pass


def _write_well(root: Path, settings: ScreenSettings, plate: int, well: Well) -> None:
    paths = iter(_well_paths(root, settings, plate, well))
    for field in range(settings.fields_per_well):
        for image in draw_well(settings, plate, well, field):
            data = io.BytesIO()
            tifffile.imwrite(
                data,
                image,
                compression="zlib",
                compressionargs={"level": 1},
                predictor=True,
                rowsperstrip=settings.height,
                metadata=None,
                software="platemae.synthetic",
                resolution=(1e4 / settings.pixel_size_um,) * 2,
                resolutionunit="CENTIMETER",
            )
            _replace(next(paths), data.getvalue())


def _well_paths(root: Path, settings: ScreenSettings, plate: int, well: Well) -> Iterator[Path]:
    images = root / "plates" / settings.plates[plate] / "Images"
    for field in range(1, settings.fields_per_well + 1):
        for channel in range(1, len(CHANNELS) + 1):
            yield images / f"r{well.row:02d}c{well.column:02d}f{field:02d}-ch{channel}.tiff"


def _all_wells(settings: ScreenSettings) -> Iterator[tuple[int, Well]]:
    for plate in range(len(settings.plates)):
        yield from ((plate, well) for well in _layout(settings, plate))


def _layout(settings: ScreenSettings, plate: int) -> list[Well]:
    return pooled_layout(settings) if isinstance(settings, PooledSettings) else make_layout(settings, plate)


def _missing_wells(root: Path, settings: ScreenSettings) -> Iterator[tuple[int, Well]]:
    for plate, well in _all_wells(settings):
        if not all(path.exists() for path in _well_paths(root, settings, plate, well)):
            yield plate, well


def _refuse_foreign_images(root: Path, settings: ScreenSettings) -> None:
    expected = {path for plate, well in _all_wells(settings) for path in _well_paths(root, settings, plate, well)}
    foreign = sorted(path for path in root.glob("plates/*/Images/*.tiff") if path not in expected)
    if foreign:
        raise InputError(
            f"{len(foreign)} images do not belong to this synthetic screen",
            str(foreign[0]),
            "choose another folder, or delete this one and write the screen anew",
        )


def _write_tables(root: Path, settings: ScreenSettings) -> None:
    for path, text in _tables(root, settings).items():
        _replace(path, text.encode())


def _missing_tables(root: Path, settings: ScreenSettings) -> bool:
    return not all(path.exists() for path in _tables(root, settings))


def _tables(root: Path, settings: ScreenSettings) -> dict[Path, str]:
    pairs = [{"entity1": one, "entity2": two, "strength": strength} for one, two, strength in relations(settings)]
    texts = {
        root / "plates.tsv": _table(_plate_rows(settings), "\t"),
        root / "truth.tsv": _table(truth_table(settings), "\t"),
        root / "relations.csv": _table(pairs, ",", ("entity1", "entity2", "strength")),
    }
    for plate, name in enumerate(settings.plates):
        rows = [_layout_row(well) for well in _layout(settings, plate)]
        texts[root / "layouts" / f"{name}.tsv"] = _table(rows, "\t")
        if isinstance(settings, PooledSettings):
            texts[root / "cells" / f"{name}.tsv"] = _table(cell_table(settings, plate), "\t")
        texts[root / "plates" / name / "plate.json"] = _json(_describe_plate(settings, name))
    return texts


def _plate_rows(settings: ScreenSettings) -> list[dict[str, str]]:
    plates = zip(settings.plates, settings.batches, strict=True)
    places = [(plate, batch, f"plates/{plate}", f"layouts/{plate}.tsv") for plate, batch in plates]
    rows = [{"plate": p, "batch": b, "reader": "synthetic", "path": f, "layout": t} for p, b, f, t in places]
    is_pooled = isinstance(settings, PooledSettings)
    return [row | {"cells": f"cells/{row['plate']}.tsv"} for row in rows] if is_pooled else rows


def _layout_row(well: Well) -> dict[str, str]:
    row = {"well": well.name, "perturbation": well.perturbation, "gene": well.gene}
    return row | {"control_type": well.control_type, "concentration": ""}


def _channels() -> list[dict[str, Any]]:
    return [{"index": index, "name": name, "stain": stain} for index, (name, stain) in enumerate(CHANNELS, 1)]


def _describe_plate(settings: ScreenSettings, name: str) -> dict[str, Any]:
    wells = settings.rows * settings.columns
    return {
        "plate": name,
        "pixel_size_um": settings.pixel_size_um,
        "channels": _channels(),
        "rows": settings.rows,
        "columns": settings.columns,
        "fields_per_well": settings.fields_per_well,
        "height": settings.height,
        "width": settings.width,
        "n_images": wells * settings.fields_per_well * len(CHANNELS),
        "file_pattern": FILE_PATTERN,
    }


def _describe(settings: ScreenSettings) -> dict[str, Any]:
    return {
        "digest": settings.digest(),
        "settings": asdict(settings),
        "pixel_size_um": settings.pixel_size_um,
        "channels": _channels(),
        "pattern": FILE_PATTERN,
    }


def _digest_of(path: Path, root: Path) -> str | None:
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise InputError(
            f"not a description of a screen: {error}", str(path), f"delete {root} and write anew"
        ) from None
    return str(found.get("digest", "")) if isinstance(found, dict) else ""


def _table(rows: Iterable[Mapping[str, Any]], separator: str, header: Sequence[str] = ()) -> str:
    rows = list(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, header or list(rows[0]), delimiter=separator, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    _replace(path, _json(content).encode())


def _replace(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_bytes(data)
    os.replace(temporary, path)
