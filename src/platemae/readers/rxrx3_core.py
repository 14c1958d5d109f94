"""RxRx3-core as Hugging Face keeps it: parquet files whose rows hold JPEG 2000 images of many plates.

https://huggingface.co/datasets/recursionpharma/rxrx3-core: columns ``__key__`` (experiment, plate, well, site, channel,
such as ``compound-004/Plate7/J36_s1_3``), and ``jp2`` (a struct of bytes and path).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from platemae.errors import InputError, MissingError, PlatemaeError, raise_all
from platemae.readers.assemble import assemble
from platemae.readers.base import Image, Inventory, Plane, RawFile
from platemae.readers.detect import metadata_of
from platemae.readers.files import list_files
from platemae.readers.rxrx import RXRX3_UM, promised_sites, with_stains
from platemae.readers.table import few
from platemae.wells import parse_well

KEY, IMAGES = "__key__", "jp2"
PLATE = re.compile(r"(.+?)[_-](?:Plate)?0*(\d+)")
PLACE = re.compile(r"([A-Za-z]{1,2}\d{1,2})_s(\d{1,4})_w?(\d{1,2})")


def inventory(folder: Path, entry: Mapping[str, Any]) -> Inventory:
    """Return what the plate holds whose images lie among those of others in the parquet files of ``folder``.

    The plate's id in plates.tsv says which one: experiment and number, such as ``compound-004_Plate7`` or, as ids of
    wells begin, ``compound-004_7``. Where ``metadata_rxrx3_core.csv`` lies in the folder, above it or at the entry's
    ``metadata``, every well that it lists must be there.

    Raises
    ------
    MissingError
        When the entry's ``metadata`` is not there.
    InputError
        All at once: files that cannot be read or are of another form, a plate that none of them has.
    """
    match = PLATE.fullmatch(str(entry.get("plate", "")))
    if match is None:
        what = f"the id {entry.get('plate')!r} does not say which plate of RxRx3-core is meant"
        raise InputError(what, str(folder), "give it the id {experiment}_Plate{n} in plates.tsv")
    experiment, plate = match[1], int(match[2])
    files = list_files(folder)
    shards = [file for file in files if file.name.endswith(".parquet")]
    images = _images(folder, shards, f"{experiment}/Plate{plate}/")
    channels = sorted({image.channel for image in images}, key=int)
    named = [Path(entry["metadata"])] if entry.get("metadata") else metadata_of(entry["kind"], folder)
    if named:
        images += _missing(images, channels, named[0], experiment, plate)
    described = [file.name for file in files if file.name.endswith((".parquet", ".csv", ".md"))]
    return assemble(
        folder,
        images,
        channels,
        with_stains(entry, channels),
        pixel_size_um=RXRX3_UM,
        files=files,
        metadata=described,
        counted=bool(named),
    )


def plates_of_shards(folder: Path) -> list[str]:
    """Return the ids of all plates whose images the parquet files of a folder hold; none where they hold no images."""
    found: set[str] = set()
    for path in sorted(folder.glob("*.parquet")):
        try:
            with pq.ParquetFile(path) as file:
                if {KEY, IMAGES} <= set(file.schema_arrow.names):
                    keys = pc.unique(pc.replace_substring_regex(file.read(columns=[KEY])[KEY], "/[^/]*$", ""))
                    found.update(key for key in keys.to_pylist() if key)
        except (OSError, pa.ArrowException, ValueError):
            continue
    return sorted("_".join(key.rsplit("/", 1)) for key in found if "/" in key)


def _images(folder: Path, shards: Sequence[RawFile], prefix: str) -> list[Image]:
    images: list[Image] = []
    problems: list[PlatemaeError] = []
    plates: set[str] = set()
    for shard in shards:
        try:
            for row, key, column in _keys(folder / shard.name, prefix, plates):
                images.append(_image(key, Plane(folder / shard.name, (row, column))))
        except PlatemaeError as problem:
            problems.append(problem)
        except ValueError as error:
            problems.append(InputError(str(error), str(folder / shard.name), "copy the file again"))
    raise_all(few(problems, folder))
    if not images:
        seen = f"they hold {', '.join(sorted(plates)[:5])}" if plates else "there are none with images"
        what = f"no parquet file holds images of {prefix.rstrip('/')}: {seen}"
        raise InputError(what, str(folder), "give the plate the id {experiment}_Plate{n} in plates.tsv")
    return images


def _keys(path: Path, prefix: str, plates: set[str]) -> Iterator[tuple[int, str, int]]:
    """Yield row, key below the prefix, and index of the column of images, for a plate; adds a few other ``plates``."""
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if not {KEY, IMAGES} <= set(names):
                return  # embeddings and metadata lie beside the images
            keys = file.read(columns=[KEY])[KEY].cast(pa.string()).combine_chunks()
    except (OSError, pa.ArrowException, ValueError) as error:
        raise InputError(f"a parquet file cannot be read: {error}", str(path), "copy it again") from None
    if len(plates) < 5:
        plates.update(key.rpartition("/")[0] for key in (keys[i].as_py() for i in range(min(len(keys), 5))) if key)
    for row in pc.indices_nonzero(pc.fill_null(pc.starts_with(keys, prefix), False)).to_pylist():
        yield row, keys[row].as_py()[len(prefix) :], names.index(IMAGES)


def _image(key: str, plane: Plane) -> Image:
    match = PLACE.fullmatch(key.removesuffix(".jp2"))
    if match is None:
        raise ValueError(f"{key[:100]!r} names no well, site and channel")
    return Image(parse_well(match[1]), str(int(match[2])), str(int(match[3])), plane)


def _missing(images: Sequence[Image], channels: Sequence[str], path: Path, experiment: str, plate: int) -> list[Image]:
    """Return the images of wells that the metadata lists and the files lack."""
    if not path.is_file():
        raise MissingError("the metadata of RxRx3-core is missing", str(path), "correct `metadata` of the reader")
    there = {(image.well, image.channel) for image in images}
    wells = [well for well, _ in promised_sites(path, experiment, plate)[0]]
    return [Image(w, "1", c, None) for w in wells for c in channels if (w, c) not in there]
