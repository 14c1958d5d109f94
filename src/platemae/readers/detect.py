"""Which instrument wrote a folder: told by the metadata files that each one leaves. Light: the Snakefile asks too."""

from __future__ import annotations

from pathlib import Path

METADATA: dict[str, tuple[str, ...]] = {
    "synthetic": ("plate.json",),
    "operetta": ("Index.idx.xml", "Images/Index.idx.xml", "Index.xml", "Images/Index.xml"),
    "cellvoyager": ("MeasurementData.mlf",),
    "imagexpress": ("*.HTD", "*.htd", "TimePoint_1/*.HTD", "TimePoint_1/*.htd"),
    "load_data": ("load_data.csv", "load_data.csv.gz", "load_data.parquet"),
    "ngff": ("zarr.json", ".zattrs"),
    "image_table": ("images.csv", "images.tsv", "images.parquet"),
}
"""Reader kind -> its metadata files, as patterns below a plate's folder; the first that matches is taken."""

SHARED: dict[str, tuple[str, ...]] = {
    "rxrx": ("metadata.csv", "../metadata.csv", "../../metadata.csv", "../../../metadata.csv"),
    "rxrx3_core": ("metadata_rxrx3_core.csv", "../metadata_rxrx3_core.csv"),
}
"""Reader kind -> metadata of many plates, in a plate's folder or above it; it does not tell what a folder is."""

BESIDE: dict[str, tuple[str, ...]] = {
    "cellvoyager": ("MeasurementDetail.mrf", "*.mes"),
    "ome_tiff": ("*.companion.ome",),
}
"""Reader kind -> files that its reader takes further facts from (pixel size, names of channels), where they are."""


def inputs_of(kind: str, folder: Path) -> list[Path]:
    """Return all files beside the images that a plate's reader reads; what a rule lists as its inputs."""
    return metadata_of(kind, folder) + [path for each in BESIDE.get(kind, ()) for path in sorted(folder.glob(each))]


def metadata_of(kind: str, folder: Path) -> list[Path]:
    """Return the metadata file of a plate's folder, or nothing where it has none."""
    for pattern in METADATA.get(kind) or SHARED.get(kind, ()):
        found = sorted(folder.glob(pattern))
        if found:
            return found[:1]
    return []
