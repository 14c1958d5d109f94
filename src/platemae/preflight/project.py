"""``platemae new``: from a folder of plates to a project that runs: plates.tsv, layouts to fill in, config.yaml."""

from __future__ import annotations

import json
import os
import shutil
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from platemae.contracts import write_text
from platemae.errors import InputError, number_of, raise_all
from platemae.preflight.layout_search import FoundLayout, find_layout
from platemae.preflight.survey import Survey, find_plates, survey, table_text
from platemae.readers.base import Inventory
from platemae.stains import stain_of

TINY_CROP_PX = 256
"""Fields smaller than this cannot give a crop to the papers' networks."""


def new_project(folder: Path, out: Path, pixel_size_um: float | None = None) -> list[str]:
    """Look at a folder of plates and write a project.

    Parameters
    ----------
    folder
        Folder that holds plates: metadata of an instrument up to six folders down, images at any depth.
    out
        Where ``plates.tsv``, ``config.yaml``, ``layouts/`` and ``tables/`` go.
    pixel_size_um
        Edge of a pixel, for plates whose files do not say it.

    Returns
    -------
    Lines that say what was found and written.

    Raises
    ------
    InputError
        When nothing is found, a plate cannot be read, or a file is there already; nothing is written then.
    """
    surveys = [survey(plate, pixel_size_um) for plate in find_plates(folder)]
    readable = [s for s in surveys if s.inventory is not None]
    if not readable:
        raise_all(s.problem for s in surveys if s.problem is not None)
    files = {_table_of(s): table_text(s.plate.table) for s in readable if s.plate.table}
    readable = [_with_table(s) for s in readable]
    readers = _readers(readable)
    found = {s.plate.name: _layout_of(s, folder.resolve()) for s in readable}
    layouts = {name: layout.path for name, layout in found.items()}
    for s in readable:
        if layouts[s.plate.name] is None and s.inventory is not None:
            files[f"layouts/{s.plate.name}.tsv"] = _layout_template(s.inventory)
    files["plates.tsv"] = _plates_table(readable, readers, layouts)
    files["config.yaml"] = _config(readable, readers, out.resolve(), folder)
    _write_all({out / name: text for name, text in files.items()})
    return [*_description(surveys, pixel_size_um), *_of_other_channels(readable), *_next_steps(found, out)]


def _write_all(files: dict[Path, str]) -> None:
    """Write texts to files; where any of them is there already, none."""
    remedy = "choose another folder with --out, or move it away"
    there = [path for path in files if os.path.lexists(path)]
    raise_all(InputError(f"a file is there already: {path}", str(path.parent), remedy) for path in there)
    for path, text in files.items():
        write_text(path, text)


def _table_of(s: Survey) -> str:
    """Return where the table of images goes that a plate lacks; plates of one folder share it."""
    return f"tables/{s.plate.folder.name}.csv"


def _with_table(s: Survey) -> Survey:
    """Name the table of images in the entry of a plate that lacks one."""
    if not s.plate.table:
        return s
    return replace(s, plate=replace(s.plate, entry=s.plate.entry | {"metadata": _table_of(s)}))


def _readers(surveys: Sequence[Survey]) -> dict[str, dict[str, Any]]:
    """Return the reader entries by name; plates that are read alike share one."""
    readers: dict[str, dict[str, Any]] = {}
    for s in surveys:
        if s.plate.entry not in readers.values():
            kind = s.plate.entry["kind"]
            readers[kind if kind not in readers else f"{kind}_{len(readers) + 1}"] = s.plate.entry
    return readers


def _reader_of(s: Survey, readers: dict[str, dict[str, Any]]) -> str:
    return next(name for name, entry in readers.items() if entry == s.plate.entry)


def _layout_of(s: Survey, root: Path) -> FoundLayout:
    wells = {record.well for record in s.inventory.records} if s.inventory is not None else set()
    return find_layout(s.plate.folder, root, s.plate.name, wells, is_rxrx=s.plate.entry["kind"] == "rxrx")


def _layout_template(inventory: Inventory) -> str:
    wells = dict.fromkeys(record.well for record in inventory.records)
    header = "well\tperturbation\tgene\tcompound\tconcentration\tcontrol_type"
    return "\n".join([header, *(f"{well}\t\t\t\t\t" for well in wells)]) + "\n"


def _plates_table(surveys: Sequence[Survey], readers: dict[str, Any], layouts: dict[str, Path | None]) -> str:
    rows = ["plate\tbatch\treader\tpath\tlayout"]
    for s in surveys:
        name = s.plate.name
        layout = layouts[name] or f"layouts/{name}.tsv"
        rows.append(f"{name}\tbatch1\t{_reader_of(s, readers)}\t{s.plate.folder}\t{layout}")
    return "\n".join(rows) + "\n"


def _config(surveys: Sequence[Survey], readers: dict[str, dict[str, Any]], out: Path, folder: Path) -> str:
    small = min(min(s.shape) for s in surveys) < TINY_CROP_PX
    eight_bit = all(s.dtype == "uint8" for s in surveys)
    lines = [
        f"# Written by `platemae new {folder}`. What is not named here has the default of config.yaml in the",
        "# platemae checkout, where every knob is explained.",
        f"results: {json.dumps(str(out / 'results'))}",
        f"plates: {json.dumps(str(out / 'plates.tsv'))}",
        "",
        "# How the raw folders are read. Rename channels with `name`; `stain` says what a channel shows, so that a",
        "# model finds it on plates of other instruments (Hoechst, DAPI, Phalloidin, MitoTracker, WGA, ...).",
        "readers:",
        *(line for name, entry in readers.items() for line in _reader_lines(name, entry, surveys, readers)),
        "",
        "# The map from source values to 0..255, which the models expect: fitted on the negative controls of a batch.",
        "intensity:",
        f"  - {{name: controls{', kind: fixed, scope: dataset, limits: [0, 255]' if eight_bit else ''}}}",
        "",
        "# Plates that train. Name them ([P1, P2]) where plates may be added later: a model then stays as it is.",
        "datasets:",
        "  - {name: screen, plates: all}",
        "",
        *_model_lines(small),
        "",
        "# How the map is scored. With known pairs (CSV: entity1,entity2) beside plates.tsv, add:",
        "#   - {name: pairs, kind: known_relations, relations: pairs.csv}",
        "benchmarks:",
        "  - {name: replicates, kind: replicate_consistency}",
        *(["  - {name: mixing, kind: batch_mixing}"] if len(surveys) > 1 else []),
        "",
        "# Rows of the map: gene, compound, or perturbation as the layouts name them.",
        "map: {entity: perturbation}",
    ]
    return "\n".join(lines) + "\n"


def _reader_lines(name: str, entry: dict[str, Any], surveys: Sequence[Survey], readers: dict[str, Any]) -> list[str]:
    alike = [s.inventory for s in surveys if s.inventory is not None and _reader_of(s, readers) == name]
    lines = [f"  - name: {name}", f"    kind: {entry['kind']}"]
    if "pattern" in entry:
        quoted = entry["pattern"].replace("'", "''")
        lines.append(f"    pattern: '{quoted}'")
    if "channels" in entry:
        lines.append("    channels: # guessed from names of files: CHECK names and stains")
        lines += [f"      - {json.dumps(channel)}" for channel in entry["channels"]]
    else:
        channels = dict.fromkeys(f"{c.name} ({c.stain})" for inventory in alike for c in inventory.channels)
        found = ", ".join(channels)
        lines += [f"    # {line}" for line in textwrap.wrap(f"channels by the metadata: {found}", 100)]
    if "metadata" in entry:
        lines.append(f"    metadata: {entry['metadata']}")
    if "pixel_size_um" in entry:
        lines.append(f"    pixel_size_um: {entry['pixel_size_um']:g} # the files do not say it: CHECK")
    n_z, n_times = (max(getattr(inventory, key) for inventory in alike) for key in ("n_z", "n_times"))
    if n_z > 1:
        lines.append(f"    z: max # {n_z} depths: max, best_focus, or the number of one")
    if n_times > 1:
        lines.append(f"    # time_point: 1 # {n_times} time points; the first is read")
    return lines


def has_gpu() -> bool:
    """Tell whether this machine has an NVIDIA GPU, without torch, which takes seconds."""
    return shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia/gpus").is_dir()


def _model_lines(small: bool) -> list[str]:
    preset = "tiny" if small or not has_gpu() else "vit_s16"
    hint = "the fields are small" if small else "for a GPU" if preset == "vit_s16" else "no GPU here; else take vit_s16"
    return [
        f"# Rows of the tables: a trained network ({hint}), the same net untrained, and no network at all.",
        "models:",
        f"  - {{name: mae, kind: mae, preset: {preset}, dataset: screen, intensity: controls}}",
        f"  - {{name: untrained, kind: untrained, preset: {preset}, dataset: screen, intensity: controls}}",
        "  - {name: intensity_means, kind: profiles, source: intensity_means}",
    ]


def _description(surveys: Sequence[Survey], pixel_size_um: float | None) -> list[str]:
    lines = []
    for s in surveys:
        if s.inventory is None:
            lines.append(f"{s.plate.name}: {s.plate.entry['kind']}, left out: {s.problem and s.problem.what}")
            continue
        i = s.inventory
        wells = number_of(len({record.well for record in i.records}), "well")
        size = f"{i.pixel_size_um:g} µm a pixel"
        if "pixel_size_um" in s.plate.entry and pixel_size_um is None:
            size = "pixel size unknown (written as 1.0: correct it, or give --pixel-size)"
        lines.append(
            f"{s.plate.name}: {s.plate.entry['kind']}, {wells}, {number_of(len(i.records), 'field')}, "
            f"{number_of(len(i.channels), 'channel')} ({', '.join(c.name for c in i.channels)}), {i.n_z} z, "
            f"{number_of(i.n_times, 'time point')}, {s.shape[0]} x {s.shape[1]} {s.dtype}, {size}"
        )
        if i.promised is not None and i.found < i.promised:
            lines.append(f"  {i.promised - i.found} of {i.promised} images that the metadata lists are missing")
    return lines


def _of_other_channels(surveys: Sequence[Survey]) -> list[str]:
    """Return a warning where plates differ in their stains: most kinds of model cannot look at all of them."""
    stains = [{stain_of(c.stain) or c.stain for c in s.inventory.channels} for s in surveys if s.inventory]
    every, shared = set().union(*stains), set.intersection(*stains)
    if every == shared:
        return []
    names = ", ".join(sorted(every - shared))
    return [
        f"not all plates have {names}, but a model of kind mae needs its channels on each: make two projects of them"
    ]


def _next_steps(layouts: dict[str, FoundLayout], out: Path) -> list[str]:
    lines = [f"wrote {out / name}" for name in ("plates.tsv", "config.yaml")]
    templates = [name for name, layout in layouts.items() if layout.path is None]
    for path, n in Counter(layout.path for layout in layouts.values() if layout.path is not None).items():
        lines.append(f"found the layout of {n} plate{'s' if n > 1 else ''}: {path}")
    lines += dict.fromkeys(note for layout in layouts.values() for note in layout.notes)
    if templates:
        tables = number_of(len(templates), "table")
        lines.append(f"wrote {out / 'layouts'}: {tables} to fill in (perturbation, control_type of each well)")
    lines.append(f"next: platemae doctor --configfile {out / 'config.yaml'}")
    return lines
